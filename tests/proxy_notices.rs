//! The lines that cells write about themselves.

use std::process::Command;
use wider_clip::proxy::notices::{Notice, Notices, SECRET_VARIABLE, is_only_commands, secret};

#[test]
fn notices_stand_at_the_end_of_a_line() {
    let notices = Notices::new("");
    assert_eq!(notices.split("[cell failed: panic]\n"), Some(("", Notice::Panic)));
    assert_eq!(notices.split("no newline[cell failed: error]"), Some(("no newline", Notice::Error)));
    assert_eq!(notices.split("[cell failed: error][cell ended]\n"), Some(("[cell failed: error]", Notice::Ended)));
    for other in ["[cell failed: other]\n", "[cell failed: panic] and more\n", "a line\n", ""] {
        assert_eq!(notices.split(other), None);
    }
    assert!(notices.is_one("[cell ended]\n") && !notices.is_one("no newline[cell ended]\n"));
}

/// A name or a file that reads like a notice is none: it was there before the secret.
#[test]
fn notices_carry_the_secret_of_their_child() {
    let notices = Notices::new("1f");
    assert_eq!(notices.split("[cell 1f failed: panic]\n"), Some(("", Notice::Panic)));
    let line = "half[cell 1f failed: error][cell 1f ended]\n";
    assert_eq!(notices.split(line), Some(("half[cell 1f failed: error]", Notice::Ended)));
    for words in
        ["x [cell failed: panic]\n", "[cell failed: error]\n", "x [cell ended]\n", "[cell 2f ended]\n", "[cell  ended]"]
    {
        assert_eq!(notices.split(words), None, "{words}");
    }
    let mut child = Command::new("a kernel");
    assert!(Notices::of(&child).is_one("[cell ended]"));
    child.env(SECRET_VARIABLE, "1f");
    assert!(Notices::of(&child).is_one("[cell 1f ended]") && !Notices::of(&child).is_one("[cell ended]"));
    assert!(secret().len() == 16 && secret() != secret());
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
