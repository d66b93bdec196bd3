"""The strings that tokenizer.py encodes: captions, hand-made cases, and a seeded generator of everything else."""

import random
import unicodedata

CAPTIONS = {
    "English": [
        "a photo of a cat sleeping on a red sofa",
        "Two children play football on the beach at sunset.",
        "It's raining; the dog's under the neighbour's car!",
        "An aerial view of 3 ships in the harbour of Rotterdam, 2019",
    ],
    "German": [
        "Ein großer Hund läuft über die nasse Straße",
        "Zwei Männer fällen eine alte Eiche im Schwarzwald",
        "SCHÖNE GRÜSSE AUS KÖLN",
        "Überfüllte U-Bahn am frühen Morgen",
    ],
    "French": [
        "une photo d'un château au bord de la Loire",
        "L'élève écrit à l'encre bleue sur un cahier déjà plein",
        "Des œufs frais, du pain et une tasse de café",
        "Un garçon joue du violoncelle près de la fenêtre",
    ],
    "Spanish": [
        "una foto de un niño con un paraguas amarillo",
        "¿Dónde está la biblioteca? ¡Al lado del río!",
        "El pingüino camina sobre el hielo",
        "Mañana lloverá en Logroño",
    ],
    "Turkish": [
        "İstanbul'da yağmurlu bir gün",
        "Küçük kız kardeşim ığdır elması yiyor",
        "DİYARBAKIR ÇARŞISI",
        "Gökyüzünde uçan iki şahin",
    ],
    "Polish": [
        "Zażółć gęślą jaźń",
        "Łódź pełna czerwonych jabłek na jeziorze",
        "Dwoje dzieci lepi bałwana przed domem",
        "Stary młyn nad rzeką o świcie",
    ],
    "Vietnamese": [
        "một con mèo đang ngủ trên ghế",
        "Phở bò Hà Nội vào buổi sáng",
        "Ruộng bậc thang ở Mù Cang Chải",
        "Người phụ nữ đội nón lá đi xe đạp",
    ],
    "Greek": [
        "Μια γάτα κοιμάται στον καναπέ",
        "ΟΔΟΣ ΟΔΥΣΣΕΩΣ",
        "Ο ήλιος δύει πίσω από τα λευκά σπίτια της Σαντορίνης",
        "Ψαράς με μικρή βάρκα στο λιμάνι",
    ],
    "Russian": [
        "фотография кошки на подоконнике",
        "Ёлка, подъезд и снег: Москва в январе",
        "Старик читает газету в парке",
        "ВЫСТАВКА СОБАК",
    ],
    "Ukrainian": [
        "Їжак їсть яблуко під ґанком",
        "Жовте поле соняшників під синім небом",
        "Дівчина грає на бандурі",
        "Вечірній Львів після дощу",
    ],
    "Armenian": [
        "կատուն քնած է բազմոցի վրա",
        "Արարատ լեռը ձմռանը",
        "Երեխաները խաղում են բակում",
        "ԵՐԵՎԱՆ ԵՒ ՍԵՎԱՆ",
    ],
    "Georgian": [
        "კატა დივანზე სძინავს",
        "ძველი ეკლესია მთის წვერზე",
        "ᲗᲑᲘᲚᲘᲡᲘ ღამით",
        "ბიჭი ველოსიპედით",
    ],
    "Hebrew": [
        "חתול ישן על הספה",
        "שָׁלוֹם עוֹלָם",
        "ילדים משחקים בחוף הים בתל אביב",
        "צילום אוויר של 12 אוניות בנמל חיפה",
    ],
    "Arabic": [
        "قطة نائمة على الأريكة",
        "السوق القديم في مرّاكش ليلاً",
        "ثلاثة جمال في الصحراء، عام ٢٠٢١",
        "مُحَمَّدٌ يَقْرَأُ كِتَابًا",
    ],
    "Persian": [
        "گربه‌ای روی پشت‌بام خوابیده است",
        "باغ انار در پاییز",
        "کودکان در کوچه فوتبال بازی می‌کنند",
        "پل خواجو، اصفهان، ۱۳۹۸",
    ],
    "Hindi": [
        "सोफ़े पर सोती हुई बिल्ली",
        "लाल क़िले के सामने दो हाथी",
        "बच्चे बारिश में क्रिकेट खेल रहे हैं",
        "सन् २०२० की दीवाली",
    ],
    "Bengali": [
        "সোফায় ঘুমন্ত বিড়াল",
        "নদীর ধারে একটি পুরোনো নৌকা",
        "পদ্মা সেতু, ২০২২",
        "বাড়ির ছাদে ঘুড়ি ওড়ায় ছেলেটি",
    ],
    "Tamil": [
        "சோபாவில் தூங்கும் பூனை",
        "மதுரை மீனாட்சி அம்மன் கோவில்",
        "கடற்கரையில் விளையாடும் குழந்தைகள்",
        "நெல் வயலில் இரண்டு மாடுகள்",
    ],
    "Thai": [
        "แมวนอนอยู่บนโซฟา",
        "ตลาดน้ำดำเนินสะดวกตอนเช้า",
        "เด็กสองคนขี่จักรยาน พ.ศ. ๒๕๖๕",
        "วัดอรุณริมแม่น้ำเจ้าพระยา",
    ],
    "Chinese": [
        "一只猫睡在红色的沙发上",
        "兩個孩子在海邊踢足球",
        "北京故宫的雪景，2019年冬",
        "一〇二号公路上的卡车🚚",
    ],
    "Japanese": [
        "ソファーで眠っている猫の写真",
        "夕焼けの海辺でサッカーをする子供たち",
        "東京タワーと満開の桜(4月)",
        "ﾊﾝｶｸｶﾀｶﾅ と 全角ABC123",
    ],
    "Korean": [
        "소파 위에서 자는 고양이",
        "바닷가에서 축구하는 두 아이",
        unicodedata.normalize("NFD", "한라산의 겨울"),
        "서울역 앞 버스 3대",
    ],
    "Amharic": [
        "ድመት በሶፋ ላይ ተኝታለች",
        "አዲስ አበባ በምሽት",
        "ሁለት ልጆች ኳስ ይጫወታሉ።",
        "የላሊበላ አብያተ ክርስቲያናት",
    ],
    "Khmer": [
        "ឆ្មាដេកលើសាឡុង",
        "ប្រាសាទអង្គរវត្តពេលព្រឹក",
        "ក្មេងពីរនាក់ជិះកង់",
        "ទូកនៅលើបឹងទន្លេសាប",
    ],
    "Emoji": [
        "👩‍👩‍👧‍👦 at the 🏖️ in 🇵🇹",
        "👍🏽👍🏿 great job!!!",
        "🐈 + 🛋️ = ❤️‍🔥",
        "1️⃣2️⃣3️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 GO",
    ],
}

CASES = [
    "",
    " ",
    "a",
    "a photo of a cat",
    "  A\tPhoto \n of\r\n a\u00a0CAT\u3000 ",
    "it's we're I'll he'd they've I'm don't 'S 'RE ''s 's's 'sup rock'n'roll it\u2019s",
    "<|endoftext|>",
    "<|startoftext|>",
    "<|startoftext|>a cat<|endoftext|>",
    "a<|endoftext|><|endoftext|>b",
    "<|ENDOFTEXT|> <|StartOfText|> <|startoftext|>s <|endoftext|",
    "<|endoftext |> <| endoftext|> <start_of_text> <end_of_text>",
    "İSTANBUL ıI ẞß ſſ ΟΔΟΣ ΣΑΣ. ΣΊΣΥΦΟΣ ǅ ﬁ K Å",
    "e\u0301 \u00e9 q\u0307\u0323 q\u0323\u0307 \u1112\u1161\u11ab \ud55c \u0958 \u2126 \u212b",
    "12345 3.14 1,000 x² ½ Ⅷ ① ٣ ๓ 十",
    "!!! ... --- ?!?! $#@! (a) [b] {c} a_b a/b a\\b",
    "\u200b\u200d\ufeff\u00ad a\u200bb a\u2060b \u0000\u0001\u001b\u007f\u0085 \ufffd \ue000 \U000f0000 \U0010ffff",
    "👩🏽‍🚀 👨‍👩‍👧 🇩🇪🇫🇷 #️⃣ ☺ ☺️ 🏳️‍🌈",
    "&amp; &lt;b&gt; &#39;s &nbsp;&amp;amp; caf\u00c3\u00a9 \u201cquoted\u201d",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "a " * 75,
    "a " * 76,
    "x" * 2000,
]

WORDS = """photo picture painting sketch aerial view cat dog bird horse elephant zebra giraffe train truck airplane
bicycle boat traffic light sign bench umbrella skateboard kitchen pizza cake sandwich banana orange table laptop keyboard phone
woman man child people street city mountain river beach forest snow rain sunset night morning old young red green blue
yellow black white small large bright dark of the a an in on at with and near under over behind standing sitting riding
holding playing eating running looking McDonald's iPhone WiFi YouTube #tbt @user COVID-19 O'Neil rock'n'roll e-mail
well-known state-of-the-art http://example.org/a?b=c&d=1 user@example.com 16:9 f/2.8 50mm $5.99 100% 1st 2nd
hyperspectral agricultural parakeet chrysanthemum antidisestablishmentarianism""".split()

RANGES = [
    (0x20, 0x7E), (0xA1, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x58F),
    (0x5D0, 0x5F4), (0x620, 0x6D5), (0x700, 0x74F), (0x780, 0x7B1), (0x7C0, 0x7FA), (0x904, 0x97F), (0x985, 0x9FE),
    (0xA05, 0xA76), (0xA85, 0xAFF), (0xB05, 0xB77), (0xB85, 0xBFA), (0xC05, 0xC7F), (0xC85, 0xCF2), (0xD05, 0xD7F),
    (0xD85, 0xDF4), (0xE01, 0xE5B), (0xE81, 0xEDF), (0xF00, 0xFDA), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x137C), (0x13A0, 0x13FD), (0x1401, 0x167F), (0x16A0, 0x16F8), (0x1780, 0x17F9),
    (0x1820, 0x18AA), (0x1C80, 0x1CBF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFE), (0x2010, 0x205E), (0x2070, 0x209C),
    (0x20A0, 0x20C0), (0x2100, 0x218B), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2500, 0x27BF), (0x2C00, 0x2C7F),
    (0x2D00, 0x2D2D), (0x2E80, 0x2FDF), (0x3001, 0x303F), (0x3041, 0x309F), (0x30A0, 0x30FF), (0x3105, 0x312F),
    (0x3131, 0x318E), (0x3220, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4C6), (0xA640, 0xA69F),
    (0xA720, 0xA7FF), (0xAB70, 0xABBF), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0xFB00, 0xFB4F), (0xFB50, 0xFDFF),
    (0xFE30, 0xFE6F), (0xFF01, 0xFFEE), (0x10400, 0x1044F), (0x10570, 0x105BC), (0x10C80, 0x10CFF), (0x118A0, 0x118F2),
    (0x12000, 0x12399), (0x16E40, 0x16E9A), (0x1D400, 0x1D7FF), (0x1E900, 0x1E959), (0x1F100, 0x1F1FF),
    (0x1F300, 0x1F64F), (0x1F680, 0x1F6FC), (0x1F900, 0x1FAF8), (0x20000, 0x2A6DF), (0x2F800, 0x2FA1D),
]
MARKS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me")]
NUMBERS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]
CASED = [chr(c) for c in range(0x110000) if chr(c).lower() != chr(c)]
DECOMPOSED = [chr(c) for c in range(0x110000) if unicodedata.normalize("NFD", chr(c)) != chr(c)]
SPACES = list("\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000")
INVISIBLE = list("\u00ad\u034f\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufe0e\ufe0f")
INVISIBLE += list("\ufeff\ufffc\ufffd")
CONTROLS = [chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]]
PEOPLE, TONES = "👩👨🧑👧👦👶🧔", "🏻🏼🏽🏾🏿"
OBJECTS = ["🚀", "⚕️", "🌾", "🍳", "💻", "✈️", "🎓", "🦰", "❤️", "🤝", "♀️", "♂️"]
EMOJI = "😀😂🥰😎🤖👻🐶🐱🦊🐝🌵🌈🔥⭐☀☺❤✨🍕🍣⚽🎸🏠🚗✈⌚☎🃏🀄🆗🈚㊗"
SPECIALS = ["<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "<|StartOfText|>", "<|endoftext|", "|endoftext|>",
            "<|endoftext |>", "<|end\u200boftext|>", "<|endoﬅext|>", "＜|endoftext|＞", "<start_of_text>", "</w>", "<|>"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'LL", "\u2019s", "\u02bcs", "`s",
                "''s", "'sd", "'st", "'res", "'ſ", "'ß", "'", "''", "'''"]
ENTITIES = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&nbsp;", "&eacute;", "&#x1F600;", "&amp;amp;", "<br/>", "Ã©",
            "â€™", "ï¬\x81", "“a”", "‘b’", "…", "–", "—", "ﬀ", "ａｂｃ", "١٢"]


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.kinds = [
            self.words, self.script, self.script, self.emoji, self.spaces, self.marks, self.marks, self.special,
            self.contraction, self.digits, self.anything, self.cases, self.entity, self.punctuation, self.hangul,
            self.controls, self.hidden,
        ]

    def some(self, low, high, make):
        return [make() for _ in range(self.rng.randint(low, high))]

    def pick(self, low, high, items):
        return "".join(self.some(low, high, lambda: self.rng.choice(items)))

    def words(self):
        case = self.rng.choice([str, str, str.title, str.upper, str.swapcase])
        return case(" ".join(self.some(1, 6, lambda: self.rng.choice(WORDS))))

    def script(self):
        low, high = self.rng.choice(RANGES)
        return "".join(self.some(1, 7, lambda: chr(self.rng.randint(low, high))))

    def emoji(self):
        def one():
            kind = self.rng.randrange(6)
            if kind == 0:
                return "\u200d".join(self.some(2, 4, lambda: self.rng.choice(PEOPLE)))
            if kind == 1:
                return self.rng.choice(PEOPLE) + self.rng.choice(TONES) + "\u200d" + self.rng.choice(OBJECTS)
            if kind == 2:
                return self.pick(1, 4, [chr(c) for c in range(0x1F1E6, 0x1F200)])
            if kind == 3:
                return self.rng.choice("0123456789#*") + "\ufe0f\u20e3"
            if kind == 4:
                tags = "".join(chr(0xE0000 + ord(c)) for c in self.rng.choice(["gbsct", "gbwls", "usca"]))
                return "🏴" + tags + "\U000e007f"
            return self.rng.choice(EMOJI) + self.rng.choice(["", "\ufe0f", "\ufe0e"])

        return self.rng.choice(["", " "]).join(self.some(1, 4, one))

    def spaces(self):
        return self.pick(1, 5, SPACES)

    def marks(self):
        """Base letters under marks in any order, or composed letters taken apart."""
        if self.rng.random() < 0.5:
            form = self.rng.choice(["NFD", "NFKD", "NFC"])
            return unicodedata.normalize(form, self.pick(1, 5, DECOMPOSED))
        bases = [self.rng.choice("aeiouqcsnΑωкأकกㅎ0-"), self.rng.choice(DECOMPOSED)]
        return "".join(self.some(1, 3, lambda: self.rng.choice(bases) + self.pick(0, 5, MARKS)))

    def special(self):
        return self.pick(1, 2, SPECIALS)

    def contraction(self):
        stems = ["", "it", "we", "Ω", "3", "é", "!"]
        return "".join(self.some(1, 3, lambda: self.rng.choice(stems) + self.rng.choice(CONTRACTIONS)))

    def digits(self):
        return self.pick(1, 6, NUMBERS if self.rng.random() < 0.5 else list("0123456789.,:/-%"))

    def anything(self):
        def one():
            c = self.rng.choice([self.rng.randrange(0x110000), self.rng.randrange(0x30000), self.rng.randrange(0x3000)])
            return "\ufffd" if 0xD800 <= c < 0xE000 else chr(c)

        return "".join(self.some(1, 5, one))

    def cases(self):
        return self.pick(1, 6, CASED if self.rng.random() < 0.6 else list("İIıißẞſΣςσǅǆﬁKÅΆᾳ'"))

    def entity(self):
        return self.pick(1, 3, ENTITIES)

    def punctuation(self):
        return self.pick(1, 9, list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "!!", "¿", "«", "。", "、", "·"])

    def hangul(self):
        def jamo():
            tail = chr(self.rng.randint(0x11A7, 0x11C2)) if self.rng.random() < 0.6 else ""
            return chr(self.rng.randint(0x1100, 0x1112)) + chr(self.rng.randint(0x1161, 0x1175)) + tail

        def syllable():
            return chr(self.rng.randint(0xAC00, 0xD7A3)) + self.rng.choice(["", "", "\u11a8", "\u1161"])

        return "".join(self.some(1, 4, self.rng.choice([jamo, syllable])))

    def controls(self):
        return self.rng.choice("ab1 ") + self.pick(1, 3, CONTROLS)

    def hidden(self):
        return self.pick(1, 2, INVISIBLE) + self.rng.choice(WORDS) + self.pick(0, 2, INVISIBLE)

    def mixed(self, low, high):
        between = self.rng.choice([" ", " ", "", "-"])
        return between.join(self.some(low, high, lambda: self.rng.choice(self.kinds)()))

    def caption(self):
        text = " ".join(self.some(3, 14, lambda: self.rng.choice(WORDS)))
        return text[:1].upper() + text[1:] + self.rng.choice(["", ".", "!", "?", "..."])

    def near_the_limit(self):
        """About as many tokens as fit: where a string is cut matters here."""
        return self.rng.choice(["", " "]).join(self.some(70, 80, lambda: self.rng.choice(["a ", "1", "! ", "cat "])))

    def text(self, i):
        if i % 100 == 0:
            return self.near_the_limit()
        if i % 100 == 1:
            return self.mixed(25, 40)
        if i % 4 == 2:
            return self.caption()
        return self.rng.choice(self.kinds)() if i % 4 == 3 else self.mixed(2, 4)


def strings(n):
    """`n` different strings, always the same ones: captions, cases, then drawn ones."""
    maker, found = Maker(2022), dict.fromkeys([text for texts in CAPTIONS.values() for text in texts] + CASES)
    i = 0
    while len(found) < n:
        found.setdefault(maker.text(i))
        i += 1
    return list(found)
