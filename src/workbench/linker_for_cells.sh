#!/bin/sh
# What rustc finds in place of `cc` when it links a cell.
#
# The support library has some 200,000 symbols, which a linker reads for a tenth of a second and more, for every cell. A
# cell may leave its symbols open until it is loaded, beside the real library, so it is linked against a hollow one: a
# library of the same name without a symbol. A symbol that is nowhere to be found fails the cell when it is loaded.
#
# Environment, set by `wider-clip kernel`: WIDER_CLIP_CC (the real `cc`) and WIDER_CLIP_HOLLOW (the hollow library; where
# there is none, the real one is taken).
for argument do
    shift
    case $argument in
        */libwider_clip.so)
            if [ -e "$WIDER_CLIP_HOLLOW" ]; then
                # Named without a use of its symbols, it would be left out.
                set -- "$@" -Wl,--no-as-needed "$WIDER_CLIP_HOLLOW" -Wl,--as-needed
            else
                set -- "$@" "$argument"
            fi
            ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec "$WIDER_CLIP_CC" "$@"
