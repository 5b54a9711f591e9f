"""Words of closed classes: which name the same thing, and which exclude each other."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, for tables of words."""
    return frozenset(text.split())


_CLASSES = [
    # names in one row exclude each other; those joined by = are the same
    "red green blue yellow orange purple pink brown black white gray cyan magenta "
    "beige gold silver maroon navy",
    "monday=mon=mondays tuesday=tue=tues=tuesdays wednesday=wed=wednesdays thursday=thu=thurs="
    "thursdays friday=fri=fridays saturday=sat=saturdays sunday=sun=sundays",
    "january=jan february=feb march=mar april=apr may june=jun july=jul august=aug "
    "september=sep=sept october=oct november=nov december=dec",
    "north south east west northeast northwest southeast southwest",
    "left=leftward=leftwards right=rightward=rightwards up=upward=upwards down=downward=downwards",
    "left right above=over below=under=beneath=underneath behind",
    "top bottom",
    "inside outside",
    "on off",
    "circle triangle square star hexagon pentagon heart cross octagon",
    "male female",
    "man woman boy girl",
    "open closed=shut",
    "day=daytime night=nighttime",
    "summer winter spring autumn",
    "breakfast lunch dinner=supper",
    "increasing=rising decreasing=falling",
    "both neither",
    "parallel perpendicular",
    "equal unequal",
    "cat=cats dog=dogs horse=horses cow=cows sheep elephant=elephants bear=bears zebra=zebras "
    "giraffe=giraffes rabbit=rabbits lion=lions tiger=tigers duck=ducks",
    "kitten=kittens puppy=puppies calf=calves",
    "apple banana orange pear grape lemon strawberry pineapple peach cherry melon",
    "car=automobile bus truck=lorry bicycle=bike motorcycle=motorbike train boat "
    "airplane=aeroplane",
    "wood=wooden metal plastic glass paper stone concrete leather marble",
    "hot cold",
    "wet dry",
    "small=little large=big huge",
    "vertical horizontal diagonal",
    "sunny rainy cloudy snowy",
    "baseball basketball soccer rugby tennis golf hockey volleyball skiing surfing swimming",
    "bar line pie scatter",
    "mean median mode",
    "english french german spanish italian chinese japanese russian",
    "mercury venus earth mars jupiter saturn uranus neptune",
    "happy sad angry gloomy",
    "kitchen bathroom bedroom",
    "pizza sandwich cake salad soup burger",
    "solid liquid gas",
    "imports exports",
    "petrol=gasoline diesel hydrogen",
    "doctor=physician lawyer teacher",
    "violin cello guitar piano",
    "mother=mom=mum father=dad",
]
_MEMBER: dict[str, list[tuple[int, int]]] = {}
for _row, _names in enumerate(_CLASSES):
    for _at, _same in enumerate(_names.split()):
        for _name in _same.split("="):
            _MEMBER.setdefault(_name, []).append((_row, _at))


def exclusive(first: str, second: str) -> bool:
    """Whether two words name different things of one class: red and blue."""
    rows, others = _MEMBER.get(first, ()), _MEMBER.get(second, ())
    return any(row == row2 and at != at2 for row, at in rows for row2, at2 in others)


def same_name(first: str, second: str) -> bool:
    """Whether two words are names of one thing: car and automobile, Mar and March."""
    rows = _MEMBER.get(first)
    return rows is not None and rows == _MEMBER.get(second)


def rows_of(word: str) -> set[int]:
    """Numbers of the classes that a word belongs to."""
    return {row for row, _ in _MEMBER.get(word, ())}


def is_calendar(word: str) -> bool:
    """Whether a word names a weekday or month."""
    return bool(rows_of(word) & (rows_of("monday") | rows_of("january")))
