#!/bin/bash
# In the virtual host: runs the scripts that come over the serial port and answers with their output.
#
# request:  one line "RUN ID SCRIPT", the script in base64
# answer:   the script's output, then a line of its own: byte 0x1e, "END ID STATUS"
# hello:    byte 0x1e, "READY"
port=/dev/virtio-ports/bed.commands
while :; do
    [ -c "$port" ] && exec 3<>"$port" || { sleep 0.2; continue; }
    printf '\x1eREADY\n' >&3
    while IFS=' ' read -r verb id script <&3; do
        [ "$verb" = RUN ] || continue
        printf '%s' "$script" | base64 -d > /run/bed-script.sh
        status=0
        setsid bash /run/bed-script.sh < /dev/null >&3 2>&1 || status=$?
        printf '\n\x1eEND %s %s\n' "$id" "$status" >&3
    done
    # The other end was closed: reads give nothing until it comes back.
    exec 3>&-
    sleep 0.2
done
