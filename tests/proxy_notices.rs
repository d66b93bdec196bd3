//! The lines that cells write about themselves.

use wider_clip::proxy::notices::{Notice, is_only_commands, split};

#[test]
fn notices_stand_at_the_end_of_a_line() {
    assert_eq!(split("[cell failed: panic]\n"), Some(("", Notice::Panic)));
    assert_eq!(split("no newline[cell failed: error]"), Some(("no newline", Notice::Error)));
    assert_eq!(split("[cell failed: error][cell ended]\n"), Some(("[cell failed: error]", Notice::Ended)));
    for other in ["[cell failed: other]\n", "[cell failed: panic] and more\n", "a line\n", ""] {
        assert_eq!(split(other), None);
    }
}

#[test]
fn commands_and_comments_do_not_run() {
    for code in [":vars", "  :dep a = \"1\"\n\n// a comment\n:vars", "!ls", ""] {
        assert!(is_only_commands(code), "{code}");
    }
    for code in ["1", ":dep a = \"1\"\nlet x = 1;", "/* */ 1"] {
        assert!(!is_only_commands(code), "{code}");
    }
}
