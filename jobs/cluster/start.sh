# Runs hardset on a cluster by the Python that Ray runs by, whose environment need not be on the PATH.
# Ray starts its workers by the command that its raylet, an ancestor of this shell, was given (Ray 2.60).
find_python() {
    process=$PPID
    while [ "${process:-1}" -gt 1 ]; do
        found=$(tr '\0' '\n' < "/proc/$process/cmdline" | sed -n 's/^--python_worker_command=\([^ ]*\) .*/\1/p')
        if [ -x "$found" ]; then
            echo "$found"
            return
        fi
        process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
    done
    command -v python || command -v python3 || echo python3
}

refuse() {
    printf '{"status":"failed","error":"%s","exit_code":2}\n' "$1"
    exit 2
}

python=$(find_python 2> /dev/null)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    refuse "the cluster's interpreter $python is no Python from 3.11 on; start Ray from an environment that has one"
"$python" -P -c 'import hardset' 2> /dev/null ||
    refuse "the cluster's interpreter $python has no hardset; install it there, or leave out --no-ship"
"$python" -P -m hardset.jobs.machine.needs || exit $?
exec "$python" -P -m hardset "$@"
