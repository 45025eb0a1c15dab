#!/bin/bash
# The demo as it stands, and with agents of one's own.
# test-timeout: 300
# shellcheck source=tests/support/demo.sh
. tests/support/demo.sh

demo
promised
is 'it took less than a minute' \
    [ "$(sed -nE 's/^Done in ([0-9]+) s.*/\1/p' "$said")" -lt 60 ]

documents
demo AGENT='head -c 200'
promised
demo AGENT='grep -q Übergröße && exit 3; echo fine' DEMO_DOCUMENTS=30
is 'an agent that fails is an error' [ $code -eq 1 ]
is 'which says on what' says 'AGENT failed on 1 of [0-9]+ documents: .*ein Brief'
demo AGENT=nosuchagent
is 'one that does not exist is an error' [ $code -eq 1 ]
is 'which names it' says 'AGENT failed on [0-9]+ of [0-9]+ documents: .*not found'
demo AGENT='exec sleep 30' AGENT_TIMEOUT=1 DEMO_DOCUMENTS=2
is 'one that takes too long is an error' [ $code -eq 1 ]
is 'which says so' says 'AGENT took more than 1 s'
is 'no process is left' left_none
ending
