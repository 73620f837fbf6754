"""Words that are copied from a question into its answer: first names, things, words that do not exist."""
FIRST = """Ada Alan Alice Amir Anna Ben Bob Carla Carlos Chen Clara Daniel David Diana Elena Emil Emma Eric Eva Felix Finn Frank Grace Hana
Hugo Ida Igor Ines Ivan Jack Jana Jane John Jonas Julia Karl Kate Lara Lena Leo Lina Lisa Lucas Lucy Luis Maja Marco Maria Mark Marta
Max Mia Mila Nina Noah Nora Olga Oliver Omar Oscar Paul Peter Petra Pia Rosa Ruth Sam Sara Simon Sofia Stefan Sven Tara Theo Tim
Tom Tina Uma Vera Victor Wei Yara Yuki Zara Zoe Anton Bella Boris Celine Dora Edgar Fiona Gustav Helen Ian Jasmin Kevin Laura Martin
Nadia Otto Paula Quentin Rita Samuel Thomas Ursula Viola Walter Xenia Yvonne Zoltan Ahmed Aisha Priya Ravi Kofi Amara Hiro Mei Linda
James Mary Robert Susan Michael Karen William Nancy George Betty Henry Dorothy Arthur Sandra""".split()
THINGS = """apple banana tree house river stone table chair window door garden mountain bridge paper pencil bottle flower cloud rain snow
summer winter morning evening silver copper orange purple yellow green happy quick brown fox dog cat horse bird fish whale tiger
music dance coffee tea sugar bread cheese butter pepper salt water fire earth wind light shadow star planet rocket train ship
boat wheel engine server token model cache memory kernel gateway worker plugin polder dike windmill tulip computer keyboard
mouse screen cable network packet system hello goodbye welcome thanks friend family city village street school book letter
number circle square triangle castle king queen knight dragon forest island ocean beach desert valley field farm market
hammer nail ladder rope basket candle mirror pillow blanket spoon fork knife plate cup kitchen roof wall floor corner""".split()
CITIES = """Paris London Rome Berlin Madrid Tokyo Vienna Lisbon Oslo Amsterdam Moscow Athens Dublin Prague Warsaw Delft Utrecht Hamburg Munich
Milan Naples Porto Lyon Geneva Zurich Boston Chicago Denver Seattle Toronto Sydney Cairo Delhi Osaka Seoul Lima Quito Bergen Malmo
Turin Leeds Bristol Cork Ghent Bruges Graz Basel Krakow Riga""".split()

ONSETS = "b bl br c ch d dr f fl g gl gr h j k l m n p pl pr qu r s sh sk sl sp st t tr v w z".split()
VOWELS = "a e i o u ai ea oo ou".split()
CODAS = ["", "", "n", "r", "l", "m", "x", "t", "k", "s", "nd", "rt", "sh", "ck", "b", "ng"]


def invented(rng, parts=None):
    """A word that means nothing, such as 'blorvin'."""
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(parts or rng.choice([1, 2, 2, 3])))
    return word + rng.choice(CODAS)


def first_name(rng):
    return rng.choice(FIRST) if rng.random() < 0.75 else invented(rng, 2).capitalize()


def thing(rng):
    return rng.choice(THINGS) if rng.random() < 0.7 else invented(rng)
