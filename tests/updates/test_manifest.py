from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.updates.manifest import is_release_file, normal, order, parse_manifest, version_of


def test_versions_are_in_the_order_people_expect() -> None:
    rising = ["0.9", "0.10.0a1", "0.10.0rc2", "0.10.0rc10", "0.10", "0.10.1", "1.0", "1.0.0.1"]
    shuffled = [*rising[3:], *rising[:3]]
    assert sorted(shuffled, key=order) == rising
    assert order("v1.2") == order("1.2.0")
    assert normal("v1.2.3") == "1.2.3"


@pytest.mark.parametrize("text", ["", "1", "latest", "1.2.3/../4", "1.2.3 ", "1..2", "1.2-beta"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(MistakeError, match="is no version"):
        order(text)


def test_only_names_of_release_files_are_accepted() -> None:
    name = "sub2api-1.2.0rc1-cp313-linux_aarch64.pyz"
    assert is_release_file(name)
    assert version_of(name) == "1.2.0rc1"
    for bad in ("../" + name, name + "\n", name.replace("linux", "beos"), "a/" + name, "", "x.pyz"):
        assert not is_release_file(bad)


def test_a_manifest_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(MistakeError, match=r"release.json of 1\.0\.0 cannot be read"):
        parse_manifest(b'{"version": 1}', "1.0.0")
