"""Which texts break one rule of Gopher, C4 or FineWeb each? Lists of lines, one paragraph a line."""

from .families import sentences


def words_of(seed, count):
    """`count` words of filler, lower case, without punctuation."""
    words = [word.strip('.,"').lower() for sentence in sentences(seed, 190) for word in sentence.split()]
    return words[:count]


def as_lines(words, per_sentence=11, per_line=3):
    """`words` as sentences of `per_sentence` words, `per_line` sentences a line."""
    parts = [" ".join(words[start : start + per_sentence]) for start in range(0, len(words), per_sentence)]
    parts = [part[0].upper() + part[1:] + "." for part in parts]
    return [" ".join(parts[start : start + per_line]) for start in range(0, len(parts), per_line)]


def keyword_stuffed(seed, phrase, gap):
    """Filler with `phrase` after every `gap` words: the most frequent n-gram is too frequent."""
    words, out = words_of(seed, 40 * gap), []
    for start in range(0, len(words), gap):
        out += words[start : start + gap] + phrase.split()
    return as_lines(out, per_sentence=len(phrase.split()) * 3 + gap)


def spun(seed, length, share):
    """Filler in which runs of `length` words come twice, `share` of all characters being in second copies."""
    n_runs = 12
    words = words_of(seed, n_runs * length + 1200)
    runs = [words[index * length : (index + 1) * length] for index in range(n_runs)]
    rest = words[n_runs * length :]
    repeated = sum(len(word) for run in runs for word in run)
    total = repeated / share  # characters of the whole text, spaces included
    wanted = int((total - 2 * sum(len(" ".join(run)) + 1 for run in runs)) / 5.4)
    gap = max(1, wanted // (2 * n_runs))
    out, position = [], 0
    for copy in range(2):
        for run in runs:
            out += run + rest[position : position + gap]
            position += gap
    # a full stop would part a run, so lines end after the gaps and carry one each
    lines, step = [], 2 * (length + gap)
    for start in range(0, len(out), step):
        line = " ".join(out[start : start + step])
        lines.append(line[0].upper() + line[1:] + ".")
    return lines


REPETITION = {
    "dup_para_frac": [line for index, line in enumerate(sentences("para", 12)) for line in (line, "Buy now and save, dear reader of this page.")],
    "dup_line_frac": [line for index, line in enumerate(sentences("line", 16)) for line in ([line, "Back to top."] if index % 2 or index > 7 else [line])],
    "dup_line_char_frac": [line for index, line in enumerate(sentences("chars", 11)) for line in ([line, "The best kettles of the whole valley are waiting for you in our shop near the bridge."] if index % 3 == 0 else [line])],
    "top_2_gram": keyword_stuffed("two", "waterproof umbrellas", 9),
    "top_3_gram": keyword_stuffed("three", "cheap garden fences", 13),
    "top_4_gram": keyword_stuffed("four", "best kettle repair here", 18),
    "duplicated_5_n_grams": spun("five", 5, 0.185),
    "duplicated_6_n_grams": spun("six", 6, 0.160),
    "duplicated_7_n_grams": spun("seven", 7, 0.147),
    "duplicated_8_n_grams": spun("eight", 8, 0.134),
    "duplicated_9_n_grams": spun("nine", 9, 0.122),
    "duplicated_10_n_grams": spun("ten", 10, 0.111),
}

LONG = "The internationalisation department straightforwardly acknowledges extraordinarily disproportionate administrative responsibilities"
TINY = [
    "I am in it. We go up to it. He is at my ox. It is on us. So be it. Is it an ax or a hoe?",
    "Go on or go in, as we do. No, I am of it, if we go by. Oh my, is he at it? An ox is up.",
    "If so, do it. To me it is no go. We sit by a fir at ten. Is a bee in my tea? Do go at it.",
    "Be at my hut by six. He or I go to sea. An eel is in it. Up on us is a sky of red. Oh no.",
    "As of now we do as he is. It is up to me, so sit. A bat is on my hat. Am I mad or is he?",
]
NO_STOP = [
    "Blue kettle sits near old wooden table. Grandmother drinks hot tea every single morning.",
    "Small brown dog sleeps under warm kitchen stove. Nobody wakes him before nine.",
    "Children run down this narrow street after school. Some carry paper kites, others carry apples.",
    "Our baker opens his shop early. He sells rolls, cakes, pies, also little round biscuits.",
    "Rain falls on grey roofs. Gutters sing, barrels fill, ducks look happy.",
    "Every evening she writes one long letter. Her brother reads it on board his ship.",
    "Farmers bring carrots, onions, beans, plus two sacks full of potatoes each Friday.".replace("full of ", ""),
    "Tall trees stand behind our house. Wind moves them gently when summer ends.",
]

QUALITY = {
    "gopher_short_doc": ["The tea room is closed today because the cook has gone fishing. Please come back tomorrow, and bring some milk if you can."],
    "gopher_below_avg_threshold": TINY,
    "gopher_above_avg_threshold": [
        LONG + ", notwithstanding uncharacteristically unenthusiastic correspondence of the representatives.",
        "Telecommunications infrastructure modernisation unquestionably necessitates interdisciplinary collaboration and unconventional experimentation.",
        "Environmentally responsible manufacturers increasingly recommend biodegradable alternatives that demonstrate incontrovertible sustainability.",
        "Philosophically sophisticated conversationalists characteristically overestimate the comprehensibility of anthropological generalisations.",
        "Counterrevolutionary misinterpretations occasionally overshadow constitutional accomplishments of parliamentary administrations.",
        "Photosynthesis transformations fundamentally distinguish microorganisms and correspondingly differentiated multicellular vegetation.",
    ],
    "gopher_too_many_hashes": [
        sentence + "".join(f" #{word.strip(',.')}" for word in sentence.split()[1:9:2]) for sentence in sentences("hash", 14)
    ],
    "gopher_too_many_ellipsis": [
        "... ".join(" ".join(sentence.rstrip(".").split()[start : start + 4]) for start in range(0, len(sentence.split()), 4)) + " or so."
        for sentence in sentences("dots", 12)
    ],
    "gopher_too_many_end_ellipsis": [sentence.rstrip(".") + ("..." if index % 2 else ".") for index, sentence in enumerate(sentences("enddots", 14))],
    "gopher_below_alpha_threshold": [
        "The home team won 3 : 1 after 45 + 47 minutes, with 17 / 9 throws and 22 / 5 catches, that is 61 %.",
        "Against the mill they lost 0 : 4 (0 : 2 at the break), and 212 people paid 3.50 or 2.20 for a seat.",
        "Third game: 5 : 2, then 6 : 2 and 6 : 3, all of it between 14:05 and 15:50 on a field of 90 x 45.",
        "In the table we have 11 points, 14 : 10 goals and place 5 of 12, while the school has 9 and 8 : 13.",
        "Of 48 shots 19 were good (40 %), 21 went past (44 %) and 8 hit the post of the 2.44 x 7.32 goal.",
        "The cup will be on 12 / 5 at 16:30, on 19 / 5 at 17:15 and, if needed, on 26 / 5 at 18:00 or 18:45.",
        "Tickets to be had: 1 - 40 at 2.00, 41 - 75 at 2.75, 76 - 99 at 4.10, from the man with the red hat.",
        "Bus 7 goes at 13:10, 13:40 and 14:10, bus 12 at 13:25 and 13:55; back home 18:20, 19:20 and 20:50.",
    ],
    "gopher_enough_stop_words": NO_STOP,
}
BULLETS = [sentence for sentence in sentences("bullets", 14)]

C4 = {
    "lorem_ipsum": sentences("lorem", 6) + ["Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor."] + sentences("lorem2", 6),
    "curly_bracket": sentences("curly", 8) + ["The template said that the guest is called { first_name } and lives at the mill."] + sentences("curly2", 4),
    "too_few_sentences": [
        "The old road goes over the hill and down to the sea, and whoever walks along it in the early morning will meet the carts of the fishermen, who bring their boxes to the town before the sun has dried the grass beside the ditch",
        "At the highest point there is a bench which was given by a woman who had walked there every day for sixty years, and from it you can look over the whole of the valley and the roofs of the village",
        "There is no sign and no fence, so please close the gate when you have gone through.",
    ],
    "too_few_sentences after javascript lines": [
        "You must turn on JavaScript in your browser to see the map of the walking paths, which shows the mills and the bridges of the valley and the inns along the way.",
        "Without JavaScript the table of the tides stays empty, and the clock at the top of the page shows the time at which you opened it and not the time at which you look at it.",
        "Please ask the person who looks after your computer how JavaScript can be allowed for this page and for the others that we have made for our guests.",
        "The path is open all year, and the tea room by the weir has soup on most days of the week.",
        "If JavaScript is forbidden in your office, you may also write to us and have the map sent to you by post.",
    ],
    "too_few_sentences after policy lines": [
        "By walking over the bridge you accept our terms of use, which hang on the left side of the gate and are read aloud on the first day of the month.",
        "Our privacy policy says that the heron may look at you, but that it has to forget what it has seen before the evening.",
        "The cookie policy of the tea room allows two to each guest, and the cook decides about the third one.",
        "You may cross at any time of the day, and in the night you should carry a lamp that can be seen from the water.",
        "Uses cookies, says the sign on the tin, and that is all that we want to say about the matter on this page.",
    ],
}

FINEWEB = {
    "line_punct_ratio": [
        line.rstrip(".") if index % 12 else line for index, line in enumerate(sentences("punct", 30))
    ],
    "short_line_ratio": [
        "I went to the river.", "The water was high.", "A duck came to me.", "It wanted my bread.", "I had no bread.",
        "We both felt sorry.", "The rain had begun.", "I put on my hat.", "The duck had none.", "It did not mind.",
        "We walked to the mill.", "Nobody was at home.", "The door stood open.", "A cat slept inside.", "It woke and looked.",
        "The duck said nothing.", "Then the miller came.", "He gave us some corn.", "We thanked him twice.", "The sun came out.",
        "I walked home alone, and the duck swam back to its place under the bridge.", "That was my whole day.",
    ],
    "char_dup_ratio": (lambda lines: lines[:9] + ["You can find more of these stories in the hall."] + lines[9:] + ["You can find more of these stories in the hall."])(sentences("chardup", 17)),
    "list_ratio": [
        "Bowl of soup", "Strawberries blackberries mulberries", "The tin cup", "Embroidered handkerchief collection", "The old spoon",
        "Unsweetened elderflower lemonade", "Box of eggs", "Gingerbread cinnamon confectionery", "Bag of nuts", "Cup of tea.",
        "Galvanised wheelbarrow accessories", "The big pot", "Woodcutter photograph candlestick", "Pair of socks", "The wool hat",
        "Peppercorns marmalades confectionery", "Can of milk", "Needlework housekeeping literature", "The last fish", "Sack of corn.",
        "Cauliflowers horseradish vinegars", "Bread and butter", "Grandmother dressmaking instructions", "Salt and pepper", "The end shelf.",
        "Firelighters matchboxes assortment", "The new broom", "Windowboxes overflowing geraniums", "Piece of soap", "The grey yarn.",
    ],
}
