#!/bin/sh
# Run by test_systemd.py in a mount namespace of its own: boots a real systemd on an overlay of this
# machine and lives through the same story as as_root.sh, with the real unit. Arguments: where to
# mount, the release server, the port. Prints what the story wrote.
set -eu
box=$1 url=$2 port=$3
mount -t tmpfs tmpfs "$box"
mkdir "$box/upper" "$box/work" "$box/system"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/system"
system=$box/system
rm -rf "$system"/etc/systemd/system/*.wants/*
cat >"$system/root/story" <<END
export SUB2API_RELEASE_URL=$url HOME=/root
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -eu
answer() { curl -fsS --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:$port/health; echo; }
curl -fsSL $url/v0.8.0/install.sh | sh -s -- -y -v 0.8.0 --port $port
echo 'UPDATE_CONFIRM_SECONDS="1"' >>/etc/sub2api/sub2api.env
answer
sub2api upgrade
sub2api rollback
sub2api upgrade
echo "it hangs"
kill -STOP \$(pgrep -f 'python3.* .*pyz serve')
while ! journalctl -u sub2api -o cat | grep -q 'Watchdog timeout'; do sleep 1; done
answer
systemctl stop sub2api
systemctl show -p Result sub2api
systemctl start sub2api
answer
curl -fsSL $url/v0.9.0/install.sh | sh -s -- uninstall -y --purge
echo "the story ends well"
END
cat >"$system/etc/systemd/system/story.service" <<'END'
[Service]
Type=oneshot
ExecStart=/bin/sh /root/story
StandardOutput=file:/root/story.log
StandardError=file:/root/story.log
ExecStopPost=/bin/sh -c 'journalctl -u sub2api -o cat --no-pager >/root/journal; systemctl poweroff --no-block'
END
mkdir -p "$system/etc/systemd/system/multi-user.target.wants"
ln -sf ../story.service "$system/etc/systemd/system/multi-user.target.wants/story.service"
timeout 500 systemd-nspawn --quiet --boot --directory="$system" --register=no --keep-unit \
    --console=pipe </dev/null >"$box/console" 2>&1 || true
cat "$system/root/story.log" || cat "$box/console"
echo "--- journal"
cat "$system/root/journal" || true
