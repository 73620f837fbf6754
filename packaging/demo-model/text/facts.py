"""Facts of one pattern each: capitals, opposites, sounds, words of other languages, young animals.

Each row becomes an intent of its own, so that its phrasings are split like all others.
"""
from . import tables

CAPITALS = """France Paris|Germany Berlin|Italy Rome|Spain Madrid|Portugal Lisbon|England London|Ireland Dublin
|the Netherlands Amsterdam|Belgium Brussels|Austria Vienna|Switzerland Bern|Denmark Copenhagen|Norway Oslo|Sweden Stockholm
|Finland Helsinki|Poland Warsaw|Greece Athens|Turkey Ankara|Russia Moscow|Japan Tokyo|China Beijing|India New_Delhi
|Egypt Cairo|Canada Ottawa|Mexico Mexico_City|Brazil Brasilia|Argentina Buenos_Aires|Australia Canberra
|the_United_States Washington,_D.C.|Ukraine Kyiv|South_Korea Seoul|Hungary Budapest|the_Czech_Republic Prague|Romania Bucharest|Bulgaria Sofia
|Croatia Zagreb|Serbia Belgrade|Iceland Reykjavik|Thailand Bangkok|Vietnam Hanoi|Indonesia Jakarta|Kenya Nairobi|Peru Lima
|Chile Santiago|Cuba Havana|Iran Tehran|Iraq Baghdad|Pakistan Islamabad|Nigeria Abuja|South_Africa Pretoria|Saudi_Arabia Riyadh
|New_Zealand Wellington"""

OPPOSITES = """hot cold|big small|good bad|day night|up down|left right|black white|fast slow|old new|high low|open closed
|happy sad|long short|light dark|rich poor|wet dry|strong weak|early late|love hate|yes no|full empty|hard soft|near far
|north south|east west|young old|in out|true false|loud quiet|clean dirty|warm cool|first last|easy difficult|heavy light
|small big|cold hot|bad good|slow fast|short long|dark light|tall short|right wrong|buy sell|start stop|win lose"""

SOUNDS = """dog woof|cat meow|cow moo|duck quack|sheep baa|pig oink|lion roar|frog croak|bee buzz|rooster cock-a-doodle-doo
|horse neigh|owl hoot|mouse squeak|snake hiss"""

YOUNG = """dog puppy|cat kitten|cow calf|sheep lamb|horse foal|pig piglet|duck duckling|lion cub|hen chick|goose gosling"""

WORDS = {
    "French": "hello bonjour|thank_you merci|yes oui|no non|water eau|cat chat|dog chien|good bon|goodbye au_revoir|bread pain",
    "German": "hello hallo|thank_you danke|yes ja|no nein|water Wasser|cat Katze|dog Hund|good gut|goodbye auf_Wiedersehen"
              "|bread Brot",
    "Spanish": "hello hola|thank_you gracias|yes sí|no no|water agua|cat gato|dog perro|good bueno|goodbye adiós|bread pan",
    "Dutch": "hello hallo|thank_you dank_je|yes ja|no nee|water water|cat kat|dog hond|good goed|bread brood",
    "Italian": "hello ciao|thank_you grazie|yes sì|water acqua|cat gatto|dog cane|bread pane",
}

CAPITAL_FORMS = [
    "what is the capital of %s", "what is the capital city of %s", "which city is the capital of %s", "capital of %s",
    "name the capital of %s", "tell me the capital of %s", "what's the capital of %s", "the capital of %s is",
    "the capital of %s", "can you tell me the capital of %s", "do you know the capital of %s", "what city is the capital of %s",
    "%s capital", "which is the capital of %s", "give me the capital of %s", "what is the capital city in %s",
    "which capital does %s have", "!what capital has %s", "what is %s's capital", "where is the government of %s",
]
CITY_FORMS = [
    "%s is the capital of which country", "of which country is %s the capital", "what country has the capital %s",
    "which country has %s as its capital", "what country is %s the capital of",
]
OPPOSITE_FORMS = [
    "what is the opposite of %s", "opposite of %s", "the opposite of %s", "tell me the opposite of %s", "name the opposite of %s",
    "what's the opposite of %s", "give me the opposite of %s", "the opposite of %s is", "which word is the opposite of %s",
    "what is the contrary of %s", "antonym of %s", "what is the antonym of %s", "an antonym for %s", "what word means the opposite of %s",
    "do you know the opposite of %s", "if it is not %s, it is", "!say the opposite of %s",
]
SOUND_FORMS = [
    "what does a %s say", "what sound does a %s make", "how does a %s sound", "which sound does a %s make", "a %s says",
    "what sound do %ss make", "what noise does a %s make", "tell me what a %s says", "the sound of a %s", "a %s goes",
    "what is the sound of a %s", "do you know what a %s says", "!make the sound of a %s",
]
YOUNG_FORMS = [
    "what is a young %s called", "what is a baby %s called", "what do you call a baby %s", "name of a baby %s", "a young %s is called",
    "what is the name of a young %s", "how is a baby %s called", "what do you call a young %s", "tell me what a baby %s is called",
    "what is the young of a %s", "!how does one call a baby %s",
]
WORD_FORMS = [
    "what is %s in @", "how do you say %s in @", "translate %s to @", "translate %s into @", "say %s in @", "%s in @",
    "what does %s mean in @", "how do I say %s in @", "what's %s in @", "the @ word for %s", "what is the @ word for %s",
    "give me the @ word for %s", "tell me %s in @", "translate the word %s to @", "how would you say %s in @",
    "what is the @ for %s", "in @, what is %s", "!which @ word means %s", "can you translate %s into @",
]


def rows(text):
    for row in text.replace("\n", "").split("|"):
        left, _, right = row.rpartition(" ")
        yield left.replace("_", " ").strip(), right.replace("_", " ").strip()


def made(name, forms, answer, accept, weight=1.0):
    intent = tables.Intent("fact", name, weight)
    intent.answers = [answer]
    intent.rules = [accept]
    intent.made = forms
    intent.close()
    return intent


def fill(forms, word):
    return [(f.replace("%s", word), f) for f in forms]


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def intents():
    """All facts: the hand-written tables, then the rows above."""
    result = tables.read(["facts", "world", "computing"], "fact")
    for country, city in rows(CAPITALS):
        names = [country]
        if country == "the United States":
            names = [country, "the USA", "the US", "America"]
        elif country == "the Netherlands":
            names = [country, "Holland"]
        elif country == "England":
            names = [country, "the United Kingdom", "the UK", "Britain"]
        forms = [f for n in names for f in fill(CAPITAL_FORMS, n)] + fill(CITY_FORMS, city)
        result.append(made(f"capital {country}", forms, f"{city} is the capital of {country}.",
                           {"all": [city, country]}, 0.9))
    for word, other in rows(OPPOSITES):
        forms = fill(OPPOSITE_FORMS, word) + [(f.replace("of %s", f"of '{word}'"), f) for f in OPPOSITE_FORMS[:3]]
        accept = {"words": [word, other], "last": other}
        result.append(made(f"opposite {word}", forms, f"The opposite of {word} is {other}.", accept, 0.6))
    for animal, sound in rows(SOUNDS):
        forms = [(t.replace(f"a {animal}", f"{article(animal)} {animal}").replace("mouses", "mice").replace("sheeps", "sheep"), f)
                 for t, f in fill(SOUND_FORMS, animal)]
        result.append(made(f"sound {animal}", forms, f"{article(animal).capitalize()} {animal} says: {sound}!",
                           {"all": [animal, sound]}, 0.6))
    for animal, young in rows(YOUNG):
        result.append(made(f"young {animal}", fill(YOUNG_FORMS, animal),
                           f"A young {animal} is called a {young}.", {"all": [animal, young]}, 0.5))
    for language, table in WORDS.items():
        for word, foreign in rows(table):
            forms = [(t.replace("@", language), f) for t, f in fill(WORD_FORMS, word)]
            forms += [(t.replace("@", language), f) for t, f in fill(WORD_FORMS[:5], f"'{word}'")]
            result.append(made(f"{language} {word}", forms, f"'{word}' in {language} is '{foreign}'.",
                               {"all": [language], "last": foreign}, 0.5))
    return result
