# The first process of a Host. Argument: an empty folder for its root.
# Started in fresh mount, PID and network namespaces. It reads its standard
# input to the end: when the test process closes that, or dies, it exits, and
# with a PID namespace's first process the kernel ends all the others.
set -e
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs home
mount -t tmpfs -o mode=755 tmpfs var/cache
mount -t tmpfs -o mode=700 tmpfs root
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir tmp/old
pivot_root . tmp/old
cd /
umount -l /tmp/old
rmdir /tmp/old
echo ready
# bash reaps whatever is left to it while it waits here.
while read -r line; do :; done
