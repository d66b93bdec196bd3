#!/usr/bin/env bash
# Slurm on this machine alone, for tests: a controller and two nodes, n1 and n2, with all they keep in one folder. Outside it stands
# /etc/slurm, made where it is not there and left empty: over it each node sees its settings.
#
#     tests/cluster/slurm.sh up DIR            starts it; then `. DIR/env` makes sbatch, squeue and scontrol speak to it
#     tests/cluster/slurm.sh kill DIR NODE     the node dies at once, with all that runs on it
#     tests/cluster/slurm.sh start DIR NODE    the node comes back
#     tests/cluster/slurm.sh down DIR          ends everything and removes the folder
#
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge (`apt install`); `up` ends with 77 and says what is
# missing where it cannot work. No service of the system is used. A node is a namespace of processes and mounts, so that it
# dies as one; its memory limits are held by sampling, so that no control groups are needed. The partitions: `work` on both
# nodes, `gpu` on n2, which has one GPU by name, and `urgent`, which takes nodes from both and has their jobs queued again.
set -euo pipefail

missing() {
    echo "skipped: $1" >&2
    exit 77
}

start_node() {
    # A shell is the node's first process: it takes in what has lost its parent. The nodes' jobs look for slurm.conf in /etc.
    setsid unshare --pid --fork --kill-child --mount --mount-proc sh -c \
        'mount --bind "$0/etc" /etc/slurm && slurmd -D -N "$1" & while :; do wait; sleep 1; done' "$dir" "$1" \
        < /dev/null > "$dir/$1.out" 2>&1 &
    echo $! > "$dir/$1.pid"
}

stop() {
    [ ! -f "$1" ] || kill -KILL "$(cat "$1")" 2> /dev/null || true
}

free_port() {
    local port
    for port in $(shuf -i 20000-30000 -n 50); do
        (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo "$port"; return; }
    done
}

up() {
    for tool in slurmctld slurmd sbatch srun munged unshare; do
        command -v $tool > /dev/null || missing "no $tool; \`apt install slurmctld slurmd slurm-client munge\` brings Slurm"
    done
    [ "$(id -u)" = 0 ] || missing "Slurm's nodes are namespaces of their own, which takes root"
    unshare --pid --fork --kill-child --mount --mount-proc true 2> /dev/null || missing "this machine allows no namespaces"
    [ ! -e "$dir" ] || { echo "$dir is there already" >&2; exit 1; }
    mkdir -p /etc/slurm "$dir"/{etc,state,spool}
    touch "$dir/$mark"
    # Whatever goes wrong from here on, nothing of it stays.
    trap down EXIT
    chmod 755 "$dir"
    local host
    host=$(hostname -s)
    cat > "$dir/etc/slurm.conf" <<END
ClusterName=wider
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/spool/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=5
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobs.txt
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=900
KillWait=5
SlurmdTimeout=30
ReturnToService=2
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4 RealMemory=8000 Gres=gpu:1
PartitionName=work Nodes=n1,n2 Default=YES PriorityTier=1 DefMemPerCPU=500
PartitionName=gpu Nodes=n2 PriorityTier=1 DefMemPerCPU=500
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF DefMemPerCPU=500
END
    # A GPU by name alone: jobs are given it in turn.
    echo "NodeName=n2 Name=gpu File=/dev/zero" > "$dir/etc/gres.conf"
    echo "export SLURM_CONF=$dir/etc/slurm.conf" > "$dir/env"
    . "$dir/env"
    head -c 128 /dev/urandom > "$dir/munge.key"
    chmod 600 "$dir/munge.key"
    munged --force --key-file "$dir/munge.key" --socket "$dir/munge.socket" --pid-file "$dir/munged.pid" \
        --log-file "$dir/munged.log" --seed-file "$dir/munge.seed"
    slurmctld
    start_node n1
    start_node n2
    for _ in $(seq 180); do
        if [ "$(sinfo --noheader --Node --partition work --format %t 2> /dev/null | grep -c idle)" = 2 ]; then
            trap - EXIT
            return
        fi
        sleep 0.5
    done
    tail -n 5 "$dir"/*.log "$dir"/*.out >&2
    echo "the nodes did not come up" >&2
    exit 1
}

down() {
    for one in n1 n2 slurmctld munged; do
        stop "$dir/$one.pid"
    done
    rm -rf "$dir"
}

case ${2:+${1:-}} in up | kill | start | down) ;; *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
dir=$(realpath -m "$2")
# In every folder that `up` has made.
mark=.made-by-slurm.sh
[ "$1" = up ] || [ -f "$dir/$mark" ] || { echo "$dir: no folder that \`up\` has made" >&2; exit 1; }
case $1 in
    up) up ;;
    down) down ;;
    kill) stop "$dir/$3.pid" ;;
    start) start_node "$3" ;;
esac
