"""Error rules: made, changed, removed, and refused where they could not work."""

from __future__ import annotations

import msgspec
import pytest

from sub2api.errors import MistakeError
from sub2api.model.health import ErrorRule
from sub2api.upstream.error_rules import ErrorRules
from tests.fakes.workshop import Workshop

RULE = ErrorRule(id=0, name="busy", statuses=(529,), status=503, message="Soon.")


async def test_a_rule_is_made_changed_and_removed(workshop: Workshop) -> None:
    rules = ErrorRules(workshop.database)
    made = await rules.add(RULE)
    assert await rules.find("busy") == await rules.find(str(made.id)) == made
    changed = await rules.change("busy", {"message": None, "keywords": ("full",), "match": "all"})
    assert await rules.everything() == [changed]
    assert changed.message is None
    assert await rules.remove("busy") == changed
    with pytest.raises(MistakeError, match="there is no error rule 'busy'"):
        await rules.find("busy")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name"),
        ({"statuses": (99,)}, "99 is no HTTP status"),
        ({"keywords": ("",)}, "must not be blank"),
        ({"statuses": ()}, "never fits"),
        ({"platforms": ("bedrock",)}, "unknown platform 'bedrock'"),
        ({"match": "some"}, "`any` of its conditions"),
        ({"priority": -1}, "priority must be 0"),
        ({"status": 200}, "between 400 and 599"),
        ({"message": " "}, "a message has"),
    ],
)
async def test_a_rule_that_could_not_work_is_refused(
    workshop: Workshop, fields: dict[str, object], said: str
) -> None:
    rules = ErrorRules(workshop.database)
    with pytest.raises(MistakeError, match=said):
        await rules.add(msgspec.structs.replace(RULE, **fields))
    await rules.add(RULE)
    with pytest.raises(MistakeError, match=said):
        await rules.change("busy", fields)
    assert [rule.statuses for rule in await rules.everything()] == [(529,)]
