#!/bin/sh
# Run by test_root.py in namespaces of its own: a whole installation as root, on an overlay of this
# machine that is gone afterwards. Arguments: where to mount, the release server, the port.
set -eu
box=$1 url=$2 port=$3
mount -t tmpfs tmpfs "$box"
mkdir "$box/upper" "$box/work" "$box/system"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/system"
mount -t proc proc "$box/system/proc"
mount --bind /dev "$box/system/dev"
mount -t tmpfs -o mode=1777 tmpfs "$box/system/tmp"
mount -t tmpfs tmpfs "$box/system/run"
mkdir -p "$box/system/run/systemd/system"

# Enough of a service manager: it runs what the unit says, as the user that it says.
cat >"$box/system/usr/local/bin/systemctl" <<'END'
#!/bin/sh
unit=/etc/systemd/system/sub2api.service
value() { sed -n "s/^$1=//p" "$unit"; }
stop() {
    [ -f /run/pid ] || return 0
    kill -TERM "$(cat /run/pid)"
    while kill -0 "$(cat /run/pid)" 2>/dev/null; do sleep 0.1; done
    rm /run/pid
}
echo "systemctl $*" >>/run/systemctl.log
case $1 in
    restart)
        stop
        set -a
        . "$(value EnvironmentFile)"
        set +a
        cd "$(value WorkingDirectory)"
        # shellcheck disable=SC2046  # a command and its argument
        setsid setpriv --reuid="$(value User)" --regid="$(value Group)" --init-groups \
            $(value ExecStart) >>/run/log 2>&1 &
        echo $! >/run/pid
        ;;
    disable) stop ;;
esac
END
chmod 755 "$box/system/usr/local/bin/systemctl"

cat >"$box/system/run/story" <<'END'
set -eu
installer() { version=$1; shift; curl -fsSL "$url/v$version/install.sh" | sh -s -- -y "$@"; }
is() { [ "$2" = "$3" ] || { echo "$1: $2, not $3" >&2; tail -n 20 /run/log >&2; exit 1; }; }
foreign() { find "$1" ! -user "$2" | head -n 3; }

installer 0.8.0 -v 0.8.0 --port "$port"
is health "$(curl -fsS "http://127.0.0.1:$port/health")" '{"status":"ok"}'
echo 'UPDATE_CONFIRM_SECONDS="2"' >>/etc/sub2api/sub2api.env
systemctl restart sub2api
sub2api key create --name laptop --json >/dev/null
is "whose data" "$(foreign /var/lib/sub2api sub2api)" ""
is "whose releases" "$(foreign /opt/sub2api/releases sub2api)" ""
is "whose launcher" "$(find /opt/sub2api -maxdepth 1 -user sub2api ! -name releases)" ""
is "the data's mode" "$(stat -c %a /var/lib/sub2api)" 700
is "the settings' mode" "$(stat -c %a:%U:%G /etc/sub2api/config.yaml)" 640:root:sub2api
is "run by" "$(ps -o user= -p "$(pgrep -o -f 'pyz serve')")" sub2api

# The service's user, broken into, plants a link where root writes.
runuser -u sub2api -- ln -s /etc/hostname /opt/sub2api/releases/.incoming
before=$(cat /etc/hostname)
installer 0.9.0 upgrade
is hostname "$(cat /etc/hostname)" "$before"
is version "$(sub2api version --json | tr -d ' \n' | cut -c -18)" '{"version":"0.9.0"'
is "a key" "$(sub2api key list | grep -c laptop)" 1
is health "$(curl -fsS "http://127.0.0.1:$port/health")" '{"status":"ok"}'

installer 0.9.0 rollback
is version "$(sub2api version --json | tr -d ' \n' | cut -c -18)" '{"version":"0.8.0"'
is "a key" "$(sub2api key list | grep -c laptop)" 1

is "an ordinary user's try" "$(setpriv --reuid=daemon --clear-groups sub2api version 2>&1)" \
    "sub2api: run this with sudo"

installer 0.9.0 uninstall
is "the data" "$(ls /var/lib/sub2api/sub2api.db)" /var/lib/sub2api/sub2api.db
is "the program" "$(ls -d /opt/sub2api /usr/local/bin/sub2api /etc/systemd/system/sub2api.service 2>/dev/null)" ""
is "processes" "$(pgrep -f "pyz serve")" ""

installer 0.9.0 install
is "a key" "$(sub2api key list | grep -c laptop)" 1
installer 0.9.0 uninstall --purge
is leftovers "$(find / -xdev -name '*sub2api*' -newer /run/story ! -path '/tmp/*' ! -path '/proc/*' 2>/dev/null)" ""
is "the user" "$(id sub2api 2>/dev/null)" ""
echo "the story ends well"
END
export url port
exec chroot "$box/system" env -i url="$url" port="$port" SUB2API_RELEASE_URL="$url" HOME=/root \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh /run/story
