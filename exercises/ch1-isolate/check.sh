# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

configure '"isolate": true'
pod a
pod b
expect 'a reaches the node' reaches a 10.13.0.1
expect_not 'a does not reach b' ping_from a "$(ip_of b)"
expect 'the node reaches b' lab node-exec -- ping -c1 -w20 "$(ip_of b)"

configure
pod c
pod d
expect 'without "isolate", c reaches d' reaches c "$(ip_of d)"
expect 'and a, too' reaches c "$(ip_of a)"

configure '"isolate": "yes"'
expect '"isolate": "yes" is refused: error 6, cannot be decoded' shows '"code": 6' call ADD e
