"""Everyday prompts read in the words of the captions: by the table that ships with the embedded model."""

from __future__ import annotations

import json
import random
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mask2iv import config
from mask2iv.errors import InputError
from mask2iv.models.text import unknown_words
from mask2iv.prompts.reading import Wording
from mask2iv.prompts.wording import WordingTable
from mask2iv.sim.choreography.actions import ACTIONS_OF
from mask2iv.sim.choreography.tasks import Draw
from mask2iv.sim.world.assets.catalogue import OBJECTS, Props

EMBEDDED = Path(str(resources.files("mask2iv"))) / "weights" / "embedded"
TABLE: dict[str, Any] = json.loads((EMBEDDED / "wording.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    found: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(EMBEDDED / "tokenizer")
    return found


@pytest.fixture(scope="module")
def table() -> WordingTable:
    return config.from_dict(WordingTable, TABLE)


@pytest.fixture(scope="module")
def read(table: WordingTable, tokenizer: PreTrainedTokenizerFast) -> Wording:
    return Wording(table, lambda word: not unknown_words(tokenizer, word))


EVERYDAY = {
    "lift the mug": "a hand picking up a mug",
    "Grab my coffee!": "a hand picking up a mug",
    "pick the mug up": "a hand picking up a mug",
    "picking up a can": "a hand picking up a can",
    "a person picks the red mug up": "a hand picking up a mug",
    "please carefully lift up the wine glass": "a hand picking up a cup",
    "can you pick up the orange?": "a hand picking up an apple",
    "pick up two apples": "a hand picking up an apple",
    "hold up the banana": "a hand picking up a banana",
    "he grabbed the scissors": "a hand picking up scissors",
    "the person's right hand is lifting a spoon": "a hand picking up a spatula",
    "a video of a hand that lifts a mug from the table": "a hand picking up a mug",
    "pick up the open laptop": "a hand picking up a laptop",
    "someone lifts a box with both hands": "two hands lifting a box",
    "two hands picking up the bin": "two hands lifting a trash can",
    "the robot grabs the soda": "a robot arm picking up a can",
    "a gripper takes the coke can": "a robot arm picking up a can",
    "use the robotic arm to open the safe": "a robot arm opening a safe",
    "the mug is picked up by a manipulator": "a robot arm picking up a mug",
    "place the mug on the table": "a hand putting down a mug",
    "set the kettle down": "a hand putting down a kettle",
    "shove the box to the left": "a hand pushing a box to the left",
    "nudge the automobile forwards": "a hand pushing a toy car forward",
    "slide the bowl rightwards": "a hand pushing a bowl to the right",
    "push the can away from me": "a hand pushing a can forward",
    "drag the chair towards me": "a hand pulling a chair backward",
    "tug the bucket closer": "a hand pulling a bucket backward",
    "pushing the mug left": "a hand pushing a mug to the left",
    "move the teapot to the left": "a hand moving a kettle to the left",
    "move the notebook away": "a hand moving a laptop forward",
    "carry the bottle back": "a hand moving a bottle backward",
    "the mug moves to the right": "a hand moving a mug to the right",
    "grab the mug and move it to the right": "a hand moving a mug to the right",
    "turn the knife clockwise": "a hand rotating a knife clockwise",
    "spin the stapler anti-clockwise": "a hand rotating a stapler counterclockwise",
    "twist the lamp to the left": "a hand rotating a lamp counterclockwise",
    "shut the drawer": "a hand closing a drawer",
    "pull the drawer open": "a hand opening a drawer",
    "the cupboard opens": "a hand opening a drawer",
    "push the bin shut": "a hand closing a trash can",
    "open the box": "a hand opening a lidded box",
    "unlock the vault": "a hand opening a safe",
    "pour water from the kettle into the bowl": "a hand pouring from a kettle into a bowl",
    "pour the bottle into the bowl": "a hand pouring from a bottle into a bowl",
    "a robot tips the mug into the dish": "a robot arm pouring from a mug into a bowl",
    "put the apple in the bowl": "a hand putting an apple into a bowl",
    "place the tin inside the bowl": "a hand putting a can into a bowl",
    "take the apple and put it into the bowl": "a hand putting an apple into a bowl",
    "put the mug on top of the box": "a hand stacking a mug on a box",
    "put the cup onto the box": "a hand stacking a cup on a box",
    "stack the mugs on the crate": "a hand stacking a mug on a box",
    # What the table does not know stays, to be warned of.
    "lift the samovar": "a hand picking up a samovar",
    "a person polishing the mug": "a hand polishing a mug",
    "turn on the lamp": "turn on a lamp",
    "grab it": "a hand picking up it",
    "put the mug next to the bowl": "a hand putting down a mug next to a bowl",
    "the robot pushes a hand drill": "a robot arm pushing a hand drill",
}


@pytest.mark.parametrize(("prompt", "expected"), EVERYDAY.items())
def test_everyday_prompts(read: Wording, prompt: str, expected: str) -> None:
    assert read(prompt) == expected
    assert read(prompt.upper()) == expected
    assert read(f" {prompt} , ") == expected


def simulated_captions() -> set[str]:
    """Of many draws of each action by each actor, with all categories."""
    rng, props = np.random.default_rng(0), Props(OBJECTS)
    return {
        act(Draw(rng, actor, side, props)).caption
        for actor, actions in ACTIONS_OF.items()
        for act in actions.values()
        for side in ("left", "right")
        for _ in range(25)
    }


def test_the_simulators_captions_are_read_as_themselves_to_the_byte(read: Wording) -> None:
    captions = simulated_captions()
    assert len(captions) > 400
    assert {caption: read(caption) for caption in captions if read(caption) != caption} == {}
    for caption in ("A hand  picking up a can.", " a robot arm, pushing a box forward!"):
        assert read(caption) == caption


def test_what_was_read_is_not_read_otherwise(read: Wording, table: WordingTable) -> None:
    """Also for nonsense: phrases of all kinds in any order."""
    senses = (*table.actors, *table.verbs, *table.objects, *table.modifiers, *table.joins)
    phrases = [phrase for sense in senses for phrase in (*sense.phrases, sense.say) if phrase]
    phrases += ["samovar", "the", "a", "it", "and", "of", "with", "water"] * 20
    rng = random.Random(0)
    for _ in range(3000):
        prompt = " ".join(rng.choices(phrases, k=rng.randint(1, 6)))
        once = read(prompt)
        assert read(once) == once, prompt


def test_nothing_to_read_stays(read: Wording) -> None:
    for prompt in ("", "  ", "?!", "please", "the"):
        assert read(prompt) == prompt


def test_only_words_that_the_model_knows_are_said(table: WordingTable) -> None:
    read = Wording(table, frozenset(["a", "hand", "pushing", "box", "to", "the", "left"]).__contains__)
    assert read("someone shoves the package leftwards") == "a hand pushing a box to the left"
    assert read("shove the package rightwards") == "a hand pushing a box rightwards"
    assert read("lift the kettle") == "lift a kettle"


def test_every_word_of_the_table_is_one_the_embedded_model_knows(
    table: WordingTable, tokenizer: PreTrainedTokenizerFast
) -> None:
    senses = (*table.actors, *table.verbs, *table.objects, *table.modifiers)
    assert not [word for sense in senses for word in unknown_words(tokenizer, sense.say)]
    assert {sense.say for sense in table.objects} == set(OBJECTS)
    assert sum(len(sense.phrases) for sense in senses) > 150


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default_actor": "a ghost"}, "default_actor: 'a ghost' is not in the table"),
        ({"left_out": ["lift"]}, "left_out: 'lift' stands in verbs already"),
        ({"kept": ["Turn On"]}, "kept: 'Turn On' is not a phrase"),
        ({"kept": [" "]}, "kept: ' ' is not a phrase"),
        ({"kept": [3]}, "kept[0]: expected a valid string, found 3"),
        ({"verbs": "lift"}, "verbs: expected"),
        ({"verbs": [{"say": "picking up"}]}, "missing configuration key 'phrases'"),
        ({"synonyms": []}, "synonyms: unknown configuration key"),
        ({"source": {"verb": "pouring", "join": "out"}}, "source: 'out' is not in the table"),
        ({"combinations": [{"verbs": ["lift"], "beside": ["up"]}]}, "combinations: 'lift' is not in the table"),
        ({"combinations": [{"verbs": [], "beside": ["up"]}]}, "combinations: verbs and beside"),
    ],
)
def test_a_damaged_table_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        config.from_dict(WordingTable, TABLE | change)
