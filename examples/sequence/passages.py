"""Writes the passages of the sequence example: a question and a few facts.

    what colour is the ball ? ben has a red ball . anna 's cup is blue .

    from passages import WORDS, ANSWERS, dataset
    ids, answers, places, groups = dataset(seed=1, count=1000)

Names, colours and things are all different within a passage, so each question
has one answer, a word of the passage. Needs numpy only.
"""
import numpy as np

NAMES = ["anna", "ben", "carl", "dora", "emil", "fay", "gus", "hana"]
COLOURS = ["red", "blue", "green", "black", "white", "pink", "brown", "grey"]
THINGS = ["ball", "cup", "book", "hat", "box", "key", "lamp", "shoe"]
ANSWERS = NAMES + COLOURS + THINGS
WORDS = ["<none>", "?", ".", "what", "who", "colour", "has", "is", "'s", "a",
         "the", "something"] + ANSWERS
LENGTH = 32             # of a padded passage, in words; 30 is the longest there is
FACTS = 2, 4

STATEMENTS = [
    "{name} has a {colour} {thing} .",
    "{name} 's {thing} is {colour} .",
]
# What is asked, and which of a fact is the answer.
QUESTIONS = [
    ("who has the {thing} ?", "name"),
    ("who has something {colour} ?", "name"),
    ("what colour is the {thing} ?", "colour"),
    ("what colour has {name} ?", "colour"),
    ("what has {name} ?", "thing"),
    ("what is {colour} ?", "thing"),
]
NUMBERS = {word: i for i, word in enumerate(WORDS)}


def decode(ids):
    return " ".join(WORDS[i] for i in ids if i)


def passage(rng):
    """Words, the answer, where in the words it stands, and for every word the
    group that it is in: 1, 2, ... for the name, colour and thing of a fact, -1
    for the first word and what is asked about, else 0."""
    count = rng.integers(FACTS[0], FACTS[1] + 1)
    some = [rng.choice(len(group), count, replace=False)
            for group in (NAMES, COLOURS, THINGS)]
    facts = [dict(name=NAMES[n], colour=COLOURS[c], thing=THINGS[t])
             for n, c, t in zip(*some)]
    question, kind = QUESTIONS[rng.integers(len(QUESTIONS))]
    asked = facts[rng.integers(count)]
    words = question.format(**asked).split()
    groups = [-int(i == 0 or word in ANSWERS) for i, word in enumerate(words)]
    skip = len(words)
    for number, fact in enumerate(facts, 1):
        statement = STATEMENTS[rng.integers(len(STATEMENTS))].format(**fact)
        groups += [number * (word in ANSWERS) for word in statement.split()]
        words += statement.split()
    return words, asked[kind], skip + words[skip:].index(asked[kind]), groups


def dataset(seed, count):
    """Numbers of words (count, LENGTH) padded with 0, the answers as indices
    into ANSWERS, the places where these stand, and groups (count, LENGTH)."""
    rng = np.random.default_rng(seed)
    ids, groups = np.zeros((2, count, LENGTH), np.int64)
    answers, places = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for i in range(count):
        words, answer, places[i], group = passage(rng)
        ids[i, :len(words)] = [NUMBERS[word] for word in words]
        groups[i, :len(words)] = group
        answers[i] = ANSWERS.index(answer)
    return ids, answers, places, groups
