#!/bin/sh
# Installs, upgrades and removes Sub2API. For Linux with CPython 3.11 or newer.
#
#   curl -fsSL https://github.com/sub2api/sub2api/releases/latest/download/install.sh | sh
#
# As root it installs for the machine (/opt/sub2api, a user and a service of its own); as anybody
# else for that user (~/.local, a user service). `sh install.sh --help` lists everything.
# Nothing is stopped or changed before the new release has been fetched and verified: checksums.txt
# must carry a signature of RELEASE_KEYS, and every file must be what checksums.txt says.
set -u

RELEASE_KEYS=""
REPOSITORY="sub2api/sub2api"
KEPT_URL=${SUB2API_RELEASE_URL:-}

usage() {
    cat <<'END'
install.sh [COMMAND] [OPTIONS]

  install             install, or upgrade what is there (the default)
  upgrade             fetch the newest release and switch to it; the data and the settings stay
  rollback [X]        go back to the release before, or to X
  list-versions       list what there is
  uninstall           remove the program; data and settings stay unless --purge

  -v, --version X     this release instead of the newest
  -y, --yes           ask nothing
      --purge         uninstall: remove data and settings too
      --mode MODE     simple (the only one in this version)
      --host ADDRESS  listen here (127.0.0.1)
      --port PORT     listen here (8080)
      --channel C     stable or edge
      --lang L        en or zh
      --no-service    install no service

SUB2API_RELEASE_URL names a mirror: a web directory as `make release` writes it.
END
}

t() { # t ENGLISH CHINESE
    if [ "$language" = zh ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi
}
die() {
    t "install.sh: $1" "install.sh：$2" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# ---- what is asked for -------------------------------------------------------------------------

options() {
    command=install version='' yes='' purge='' mode=simple host='' port='' channel=stable service=yes
    language=en
    case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in zh*) language=zh ;; esac
    named=''
    while [ $# -gt 0 ]; do
        case $1 in
            -v | --version | --mode | --host | --port | --channel | --lang)
                [ $# -gt 1 ] || die "$1 needs a value" "$1 需要一个值"
                option "$1" "$2"
                shift
                ;;
            -y | --yes) yes=yes ;;
            --purge) purge=yes ;;
            --no-service) service='' ;;
            -h | --help) usage; exit 0 ;;
            install | upgrade | rollback | list-versions | versions | uninstall | remove)
                [ -z "$named" ] || die "one command at a time" "一次只能执行一个命令"
                named=$1
                ;;
            *)
                if [ "$named" = rollback ] && [ -z "$version" ]; then version=$1; else
                    usage >&2
                    die "unknown: $1" "未知参数：$1"
                fi
                ;;
        esac
        shift
    done
    command=${named:-install}
    version=${version#v}
    case $version in *[!0-9a-z.]*) die "$version is no version" "$version 不是版本号" ;; esac
    case ${port:-8080} in *[!0-9]* | ??????*) die "no port: $port" "端口无效：$port" ;; esac
    if [ "${port:-8080}" -lt 1 ] || [ "${port:-8080}" -gt 65535 ]; then
        die "the port must be from 1 to 65535" "端口必须在 1 到 65535 之间"
    fi
    case $host in *[!0-9A-Za-z.:-]*) die "no address: $host" "地址无效：$host" ;; esac
    [ "$mode" = simple ] || die "full mode is not in this version: use --mode simple" \
        "此版本尚不支持 full 模式：请使用 --mode simple"
    case $channel in stable | edge) ;; *) die "no channel: $channel" "没有此通道：$channel" ;; esac
}

option() {
    case $1 in
        -v | --version) version=$2 ;;
        --mode) mode=$2 ;;
        --host) host=$2 ;;
        --port) port=$2 ;;
        --channel) channel=$2 ;;
        --lang) language=$2 ;;
    esac
}

places() {
    if [ "$(id -u)" = 0 ]; then
        home=/opt/sub2api data=/var/lib/sub2api conf=/etc/sub2api cache=/var/cache/sub2api
        bin=/usr/local/bin/sub2api config=/etc/sub2api/config.yaml owner=sub2api
        unit=/etc/systemd/system/sub2api.service unit_file=sub2api.service
    else
        home=$HOME/.local/lib/sub2api data=$HOME/.local/share/sub2api conf=$HOME/.config/sub2api
        cache=$HOME/.cache/sub2api bin=$HOME/.local/bin/sub2api config=$data/config.yaml owner=''
        unit=$HOME/.config/systemd/user/sub2api.service unit_file=sub2api.user.service
    fi
    case $home in *[\"\`\$\\]*) die "the home directory has a strange name: $home" \
        "主目录名称不受支持：$home" ;; esac
    releases=$home/releases
}

# What lies in directories of the service's user is touched as that user: it could be a link.
as_user() { if [ -n "$owner" ]; then runuser -u "$owner" -- "$@"; else "$@"; fi; }

as_owner() { # run something as the service's user, with the installation's settings
    # shellcheck disable=SC1091  # made below
    (cd / && set -a && . "$conf/sub2api.env" && set +a && as_user "$@")
}

systemd() {
    if [ -n "$owner" ]; then systemctl "$@"; else systemctl --user "$@"; fi
}
has_systemd() {
    [ -n "$service" ] && has systemctl || return 1
    if [ -n "$owner" ]; then [ -d /run/systemd/system ]; else
        systemctl --user show-environment >/dev/null 2>&1
    fi
}

# ---- fetching and verifying --------------------------------------------------------------------

fetch() { # fetch URL FILE
    if has curl; then
        curl -fsSL --retry 2 --connect-timeout 20 --proto "$protocols" -o "$2" "$1"
    elif has wget; then
        wget -q -O "$2" "$1"
    else
        "$python" - "$1" "$2" <<'END'
import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as reply, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(reply, file)
END
    fi
}

file_url() { # file_url VERSION NAME
    if [ -n "$KEPT_URL" ]; then echo "${KEPT_URL%/}/v$1/$2"; else
        echo "https://github.com/$REPOSITORY/releases/download/v$1/$2"
    fi
}

get() { # get VERSION NAME: into $work
    fetch "$(file_url "$1" "$2")" "$work/$2" ||
        die "cannot fetch $2 of release $1 (network, disk full, or there is no such release). \
Nothing was changed" "无法下载版本 $1 的 $2（网络、磁盘空间或版本不存在）。未做任何更改"
}

find_python() { # sets python: any that can run this script's checks
    for each in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$each
            return
        fi
    done
    t "install.sh: Python 3.11 or newer is needed, and none was found. To get one:" \
        "install.sh：需要 Python 3.11 或更新版本，但未找到。安装方法：" >&2
    cat >&2 <<'END'
  Debian 12+, Ubuntu 24.04+:  apt-get install python3
  RHEL, Rocky, Alma 9:        dnf install python3.12
  Fedora, Arch, openSUSE:     the package python3, python, python313
  macOS:                      brew install python@3.13
  anywhere else:              PYTHON=/path/to/python3 sh install.sh, or use Docker
END
    exit 1
}

newest() { # prints the newest version of the channel
    if [ -n "$KEPT_URL" ]; then list="${KEPT_URL%/}/index.json"; else
        list="https://api.github.com/repos/$REPOSITORY/releases?per_page=30"
    fi
    fetch "$list" "$work/index.json" ||
        die "cannot fetch the list of releases from $list" "无法获取版本列表：$list"
    "$python" - "$work/index.json" "$channel" <<'END'
import json, re, sys
def order(version):
    found = re.fullmatch(r"(\d+(?:\.\d+){1,3})(?:(a|b|rc)(\d+))?", version)
    if not found:
        return None
    numbers = [int(each) for each in found[1].split(".")]
    stage = {"a": 0, "b": 1, "rc": 2, None: 3}[found[2]]
    return numbers + [0] * (4 - len(numbers)), stage, int(found[3] or 0)
versions = [
    each["tag_name"].removeprefix("v")
    for each in json.load(open(sys.argv[1]))
    if not each.get("draft") and (sys.argv[2] == "edge" or not each.get("prerelease"))
]
print("\n".join(sorted(filter(order, versions), key=order, reverse=True)[:20]))
END
}

# The signature is checked in Python, which is needed anyway: openssl is not everywhere, and
# Ed25519 (RFC 8032) is forty lines.
checker() {
    cat <<'END'
import hashlib, json, os, pathlib, platform, re, subprocess, sys

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(data):
    """Decode a point; None when it is none."""
    number = int.from_bytes(data, "little")
    y, odd = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and odd):
        return None
    x = P - x if x & 1 != odd else x
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, p):
    q = (0, 1, 1, 0)
    while number:
        if number & 1:
            q = add(q, p)
        p, number = add(p, p), number >> 1
    return q


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, signature, message):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    left, right = times(s, BASE), add(r, times(int.from_bytes(digest, "little") % ORDER, a))
    return not any((left[i] * right[2] - right[i] * left[2]) % P for i in (0, 1))


def sums(work, keys):
    """Return SHA-256 by name, if they are signed."""
    lines, signature = (work / "checksums.txt").read_bytes(), (work / "checksums.txt.sig").read_bytes()
    if not any(signed(bytes.fromhex(key), signature, lines) for key in keys):
        sys.exit("the signature of checksums.txt is not ours")
    found = (re.fullmatch(r"([0-9a-f]{64}) [ *]([\w.-]+)", line) for line in lines.decode().split("\n"))
    return {each[2]: each[1] for each in found if each}


def check(work, known, name):
    digest = hashlib.sha256()
    with open(work / name, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if known.get(name) != digest.hexdigest():
        sys.exit(f"the checksum of {name} does not match")


LOOK = (
    "import os, sys, ssl, sqlite3; print(sys.implementation.name, *sys.version_info[:2]);"
    "print(os.path.realpath(sys.executable))"
)


def choose(work, version, pythons):
    """Print the interpreter and the file for it."""
    release = json.loads((work / "release.json").read_text())
    if release["version"] != version:
        sys.exit(f"release {version} says that it is {release['version']}")
    system, machine = platform.system().lower(), platform.machine().lower()
    if system == "linux" and not platform.libc_ver()[0].startswith("glibc"):
        sys.exit("this system has no glibc (musl?), which the releases need: use Docker here")
    seen = []
    for python in pythons:
        try:
            ran = subprocess.run([python, "-c", LOOK], capture_output=True, text=True)
        except OSError:
            continue
        kind, _, where = ran.stdout.strip().partition("\n")
        said = kind.split()
        if len(said) != 3 or said[0] != "cpython":
            continue
        if os.geteuid() == 0 and where.startswith(("/root/", "/home/", "/run/user/")):
            continue  # the service's user cannot see into homes
        tag = f"cp{said[1]}{said[2]}"
        seen.append(tag)
        for each in release["artefacts"]:
            if (each["python"], each["system"], each["machine"]) == (tag, system, machine):
                if not re.fullmatch(r"sub2api-[0-9a-z.]+-cp3\d+-[a-z0-9_]+\.pyz", each["name"]):
                    sys.exit("release.json names a file that is none")
                print(where, each["name"])
                return
    there = sorted({e["python"] for e in release["artefacts"] if (e["system"], e["machine"]) == (system, machine)})
    sys.exit(f"there is no file for {system} {machine} and {' '.join(seen) or 'any Python outside of home directories'}; there are: {' '.join(there)}")


work, keys, what = pathlib.Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3]
known = sums(work, keys)
if what == "choose":
    check(work, known, "release.json")
    choose(work, sys.argv[4], sys.argv[5:])
for name in sys.argv[4:] if what == "check" else ():
    check(work, known, name)
END
}

verified() { # verified WHAT ARGUMENTS...
    "$python" "$work/check.py" "$work" "$RELEASE_KEYS" "$@" 2>"$work/why" ||
        die "release $version is not accepted: $(tail -n 1 "$work/why"). Nothing was changed" \
            "版本 $version 未通过校验：$(tail -n 1 "$work/why")。未做任何更改"
}

prepare() { # everything that can fail, before anything is changed
    [ -n "$RELEASE_KEYS" ] || die "this install.sh has no release key in it: take the one that was \
published with a release" "此 install.sh 不含发布密钥：请使用随版本发布的 install.sh"
    checker >"$work/check.py"
    if [ -z "$version" ]; then
        newest >"$work/versions" || exit 1
        version=$(head -n 1 "$work/versions")
        [ -n "$version" ] || die "there is no release on the $channel channel" "通道 $channel 没有版本"
    fi
    t "Fetching Sub2API $version ..." "正在下载 Sub2API $version ..."
    for each in checksums.txt checksums.txt.sig release.json launch "$unit_file"; do
        get "$version" "$each"
    done
    chosen=$(verified choose "$version" "${PYTHON:-python3}" python3 /usr/bin/python3 \
        python3.14 python3.13 python3.12 python3.11 /usr/local/bin/python3) || exit 1
    file=${chosen##* } interpreter=${chosen% *}
    if ! cp "$releases/$file" "$work/$file" 2>/dev/null || ! (verified check "$file" 2>/dev/null); then
        get "$version" "$file"
    fi
    verified check launch "$unit_file" "$file" || exit 1
}

# ---- installing --------------------------------------------------------------------------------

ask() { # ask ENGLISH CHINESE DEFAULT: prints the answer
    if [ -z "$yes" ] && [ -t 1 ] && [ -r /dev/tty ]; then
        printf '%s [%s]: ' "$(t "$1" "$2")" "$3" >/dev/tty
        read -r answer </dev/tty
    fi
    echo "${answer:-$3}"
}

place() { # place FILE TARGET MODE: in one step
    if ! { mkdir -p "$(dirname "$2")" && cp "$1" "$2.new" && chmod "$3" "$2.new" && mv -f "$2.new" "$2"; }; then
        die "cannot write $2" "无法写入 $2"
    fi
}

own() { [ -z "$owner" ] || chown "$owner:$owner" "$@" || die "cannot chown $*" "无法更改所有者：$*"; }

make_places() {
    if [ -n "$owner" ] && ! id "$owner" >/dev/null 2>&1; then
        useradd --system --home-dir "$data" --no-create-home --shell /usr/sbin/nologin "$owner" ||
            die "cannot make the user $owner" "无法创建用户 $owner"
    fi
    mkdir -p "$home" "$releases" "$data" "$conf" "$cache" ||
        die "cannot make $home" "无法创建 $home"
    chmod 755 "$home" "$releases"
    chmod 700 "$data" "$cache"
    chmod 750 "$conf"
    own "$releases" "$data" "$cache"
    [ -z "$owner" ] || chgrp "$owner" "$conf"
}

write_settings() {
    if [ ! -e "$config" ]; then
        printf '# All keys: docs/settings.md\nrun_mode: simple\nserver:\n  host: "%s"\n  port: %s\n' \
            "$host" "$port" >"$config"
        chmod 640 "$config"
        [ -z "$owner" ] || chown "root:$owner" "$config"
    fi
    if [ ! -e "$conf/sub2api.env" ]; then
        printf '# Where things are. Settings belong into %s.\n' "$config" >"$conf/sub2api.env"
        printf '%s="%s"\n' DATA_DIR "$data" UPDATE_DIRECTORY "$home" SHIV_ROOT "$cache" \
            >>"$conf/sub2api.env"
        [ -z "$KEPT_URL" ] || printf 'UPDATE_RELEASE_URL="%s"\n' "$KEPT_URL" >>"$conf/sub2api.env"
        chmod 640 "$conf/sub2api.env"
        [ -z "$owner" ] || chown "root:$owner" "$conf/sub2api.env"
    fi
}

write_command() {
    cat >"$work/command" <<END
#!/bin/sh
# Made by install.sh: runs the current release, with the installation's settings, as its user.
if [ -n "$owner" ] && [ "\$(id -un)" != "$owner" ]; then
    if [ "\$(id -u)" != 0 ]; then echo "sub2api: run this with sudo" >&2; exit 1; fi
    cd / && exec runuser -u "$owner" -- "\$0" "\$@"
fi
set -a
. "$conf/sub2api.env"
set +a
exec "$home/launch" "\$@"
END
    place "$work/command" "$bin" 755
}

place_release() { # the new file beside the others, and a Python for it
    minor=${file#*-cp3}
    interpreter_link=$home/python3.${minor%%-*}
    ln -sf "$interpreter" "$interpreter_link" || die "cannot write to $home" "无法写入 $home"
    # shellcheck disable=SC2016  # for the inner shell
    if ! as_user sh -c 'rm -f "$1/.incoming" && cat >"$1/.incoming" && chmod 755 "$1/.incoming" && mv -f "$1/.incoming" "$1/$2"' \
        sh "$releases" "$file" <"$work/$file"; then
        as_user rm -f "$releases/.incoming"
        die "cannot write to $releases (disk full?)" "无法写入 $releases（磁盘已满？）"
    fi
}

place_program() { # what is around the releases
    place "$work/launch" "$home/launch" 755
    write_command
    if [ -n "$service" ]; then place "$work/$unit_file" "$unit" 644; fi
}

installed() { [ -L "$releases/current" ] && [ -e "$releases/current" ]; }

current_version() {
    current=$(readlink "$releases/current" 2>/dev/null)
    current=${current#sub2api-}
    echo "${current%%-cp3*}"
}

answers() { # wait until the gateway answers
    url=$(as_owner "$home/launch" env claude-code | sed -n "s/.*ANTHROPIC_BASE_URL='\\(.*\\)'/\\1/p")
    "$python" - "$url" <<'END'
import sys, time, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(120):
    try:
        direct.open(sys.argv[1] + "/health", timeout=2)
        break
    except OSError:
        time.sleep(0.5)
else:
    sys.exit(1)
END
}

do_install() {
    if installed; then do_upgrade; return; fi
    host=${host:-$(ask "Listen on which address?" "监听哪个地址？" 127.0.0.1)}
    port=${port:-$(ask "Which port?" "哪个端口？" 8080)}
    prepare
    make_places
    write_settings
    place_release
    # The first start unpacks the file and makes the database; before it works nothing is current.
    as_owner "$interpreter_link" "$releases/$file" setup --mode simple >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        as_user rm -f "$releases/$file"
        die "the release does not start here" "该版本无法在此启动"
    }
    as_user ln -sf "$file" "$releases/current"
    place_program
    start_service
    t "Sub2API $version is installed." "Sub2API $version 已安装。"
    t "Next: sub2api account add --platform anthropic --name mine --api-key-stdin" \
        "下一步：sub2api account add --platform anthropic --name mine --api-key-stdin"
    case ":$PATH:" in *":${bin%/*}:"*) ;; *) t "(the command is $bin)" "（命令位于 $bin）" ;; esac
}

start_service() {
    if ! has_systemd; then
        t "No systemd here: start it with $bin serve" "未检测到 systemd：请运行 $bin serve"
        return
    fi
    systemd daemon-reload
    systemd enable sub2api >/dev/null 2>&1
    systemd restart sub2api || die "the service does not start: journalctl -u sub2api" \
        "服务无法启动：journalctl -u sub2api"
    answers || die "the service runs and does not answer: journalctl -u sub2api -n 50" \
        "服务已运行但没有响应：journalctl -u sub2api -n 50"
    t "It answers on $url" "服务地址：$url"
    if [ -z "$owner" ] && has loginctl; then
        t "To let it run without you: loginctl enable-linger" "注销后继续运行：loginctl enable-linger"
    fi
}

do_upgrade() {
    installed || die "nothing is installed here: run install.sh install" "尚未安装：请先运行 install"
    if [ -n "$version" ] && [ "$version" = "$(current_version)" ]; then
        t "Sub2API $version is what runs: nothing to do." "当前已是 Sub2API $version。"
        return
    fi
    asked=$version
    prepare
    if [ "$version" = "$(current_version)" ] && [ -z "$asked" ]; then
        t "Sub2API $version is what runs: nothing to do." "当前已是 Sub2API $version。"
        return
    fi
    place_release
    # The new release tries itself on a copy of the data, backs up, and switches; see its updates/.
    as_owner "$interpreter_link" "$releases/$file" upgrade --adopt "$file" ||
        die "$(current_version) is the current release; the reason is above" \
            "当前版本仍为 $(current_version)；原因见上"
    place_program
    if has_systemd; then systemd daemon-reload; fi
    t "Sub2API $(current_version) is the current release." "当前版本：Sub2API $(current_version)。"
}

do_rollback() {
    installed || die "nothing is installed here" "尚未安装"
    # shellcheck disable=SC2086  # no version is no argument
    if as_owner "$home/launch" rollback $version; then return; fi
    if [ -n "$version" ]; then
        t "Fetching it instead ..." "改为下载该版本 ..."
        do_upgrade
        return
    fi
    # What is current may not even start: then the way back is a link.
    before=$(readlink "$releases/previous" 2>/dev/null)
    case $before in sub2api-*.pyz) ;; *) before='' ;; esac
    if as_owner "$home/launch" version >/dev/null 2>&1 || [ ! -f "$releases/$before" ]; then
        die "could not roll back; $(current_version) runs on" "无法回滚；仍运行 $(current_version)"
    fi
    as_user ln -s "$before" "$releases/.back" && as_user mv -f "$releases/.back" "$releases/current"
    as_user rm -f "$releases/pending.json"
    if has_systemd; then systemd restart sub2api; fi
    t "$(current_version) is the current release." "当前版本：$(current_version)。"
}

do_list() {
    newest >"$work/versions" || exit 1
    while read -r each; do
        if [ "$each" = "$(current_version)" ]; then echo "* $each"; else echo "  $each"; fi
    done <"$work/versions"
}

do_uninstall() {
    [ -d "$home" ] || [ -n "$purge" ] || die "nothing is installed here" "尚未安装"
    if [ -z "$yes" ]; then
        case $(ask "Remove Sub2API? (yes/no)" "卸载 Sub2API？(yes/no)" no) in
            y | yes) ;;
            *) die "nothing was removed (say yes, or use -y)" "未卸载（请输入 yes 或使用 -y）" ;;
        esac
    fi
    if has_systemd; then
        systemd disable --now sub2api >/dev/null 2>&1
        rm -f "$unit"
        systemd daemon-reload
    fi
    rm -f "$unit" "$bin"
    rm -rf "$home" "$cache"
    if [ -n "$purge" ]; then
        rm -rf "$data" "$conf"
        if [ -n "$owner" ] && id "$owner" >/dev/null 2>&1; then userdel "$owner"; fi
        t "Sub2API and its data are removed." "Sub2API 及其数据已删除。"
    else
        t "Sub2API is removed. Data and settings stay in $data and $conf (--purge removes them)." \
            "Sub2API 已卸载。数据和设置保留在 $data 与 $conf（--purge 可删除）。"
    fi
}

main() {
    options "$@"
    case "$(uname -s)" in Linux | Darwin) ;; *) die "this system is not supported" "不支持此系统" ;; esac
    if [ "$(uname -s)" = Darwin ] && [ "$(id -u)" = 0 ]; then
        die "on macOS, run this as an ordinary user" "在 macOS 上请以普通用户运行"
    fi
    places
    umask 022
    work=$(mktemp -d) || exit 1
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    protocols='=https'
    case $KEPT_URL in http://*) protocols='=http,https' ;; esac
    case $command in
        uninstall | remove) do_uninstall; return ;;
    esac
    find_python
    case $command in
        install) do_install ;;
        upgrade) do_upgrade ;;
        rollback) do_rollback ;;
        list-versions | versions) do_list ;;
    esac
}

# The last line: a script that arrived in part does nothing.
main "$@"
