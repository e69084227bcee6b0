//! What kind of character is this? One table answers for every rule that reads text character by character.
//!
//! The sets are facts read off spaCy 3.8 (the classes of its English tokenizer) and datatrove 0.10.1 (punctuation);
//! where a set is a Unicode property, the property is named instead of its members.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// Whitespace as Python's `str.isspace` has it: Unicode's White_Space and the separators U+001C to U+001F.
pub const SPACE: u32 = 1;
/// A letter: general category L (Python's `isalpha`).
pub const LETTER: u32 = 1 << 1;
/// A letter or a number of any kind (Python's `isalnum`).
pub const ALPHANUMERIC: u32 = 1 << 2;
/// General category P.
pub const PUNCTUATION: u32 = 1 << 3;
/// One of the 281 characters that datatrove counts as punctuation; control characters are among them.
pub const SYMBOL: u32 = 1 << 4;
/// Ends a line properly (datatrove's terminal punctuation).
pub const TERMINAL: u32 = 1 << 5;
/// As a word of its own it ends a sentence (spaCy's sentencizer).
pub const SENTENCE_END: u32 = 1 << 6;
/// A letter of the tokenizer's alphabets.
pub const ALPHA: u32 = 1 << 7;
/// Lower-case or caseless letter of those alphabets.
pub const LOWER: u32 = 1 << 8;
/// Upper-case or caseless letter of those alphabets.
pub const UPPER: u32 = 1 << 9;
/// Quotation marks and brackets of East Asia.
pub const QUOTE: u32 = 1 << 10;
/// Is split off the front of a word.
pub const PREFIX: u32 = 1 << 11;
/// Is split off the end of a word.
pub const SUFFIX: u32 = 1 << 12;
/// Dingbats, emoji and the like.
pub const ICON: u32 = 1 << 13;
/// Is split off the end of a word when a digit stands before it.
pub const CURRENCY: u32 = 1 << 14;
/// A full stop after it is split off.
pub const BEFORE_STOP: u32 = 1 << 15;
/// `0` to `9`.
pub const DIGIT: u32 = 1 << 16;
/// Decimal digit of any script.
pub const ANY_DIGIT: u32 = 1 << 17;
/// Can be inside a word, never between two.
pub const INFIX: u32 = 1 << 18;

const SPACES: &str = r"\s\x{1C}-\x{1F}";

/// Punctuation that the tokenizer splits off both ends of a word.
const TOKEN_PUNCTUATION: &str = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪";

const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉\u{2329}\u{232A}⟦⟧";

const CURRENCIES: &str = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿";

/// Scripts whose letters have case, as the tokenizer lists them.
const CASED: &str = r"A-Za-z\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BF}\x{1C4}-\x{2AF}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}\x{38F}\x{391}-\x{3A9}\x{3AC}-\x{3AF}\x{3B1}-\x{3C9}\x{3CC}-\x{3CE}\x{400}\x{401}\x{403}-\x{40A}\x{40C}\x{40D}\x{410}-\x{451}\x{453}-\x{45A}\x{45C}\x{45D}\x{490}\x{491}\x{496}\x{497}\x{4A2}\x{4A3}\x{4AE}\x{4AF}\x{4BA}\x{4BB}\x{4D8}\x{4D9}\x{4E8}\x{4E9}\x{1D00}-\x{1D25}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1EFF}\x{2C60}-\x{2C7B}\x{2C7E}\x{2C7F}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{A790}-\x{A7B9}\x{A7FA}\x{AB30}-\x{AB5A}\x{AB60}-\x{AB64}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}";

/// Scripts without case; the tokenizer takes their letters for both.
const CASELESS: &str = r"\x{591}-\x{5F4}\x{620}-\x{64A}\x{66E}-\x{6D5}\x{6E5}-\x{6FF}\x{750}-\x{77F}\x{8A0}-\x{8BD}\x{900}-\x{9FF}\x{B80}-\x{CFF}\x{D80}-\x{DFF}\x{1100}-\x{137F}\x{2E80}-\x{2FDF}\x{2FF0}-\x{30FF}\x{31C0}-\x{31EF}\x{3200}-\x{4DBF}\x{4E00}-\x{9FFF}\x{AC00}-\x{D7AF}\x{F900}-\x{FAFF}\x{FB1D}-\x{FBB1}\x{FBD3}-\x{FD3D}\x{FD50}-\x{FDC7}\x{FDF0}-\x{FDFB}\x{FE30}-\x{FE4F}\x{FE70}-\x{FEFC}\x{1EE00}-\x{1EEBB}\x{1F200}-\x{1F2FF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2EBEF}\x{2F800}-\x{2FA1F}";

/// The tokenizer lists the symbols (category So) of Unicode 11 one by one.
const ICONS: &str = r"[\p{So}&&\p{age=11.0}--[\x{166D}]]";

/// The marks at which spaCy's sentencizer ends a sentence.
const SENTENCE_ENDS: &str = "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡\u{10a56}\u{10a57}\u{11047}\u{11048}\u{110be}\u{110bf}\u{110c0}\u{110c1}\u{11141}\u{11142}\u{11143}\u{111c5}\u{111c6}\u{111cd}\u{111de}\u{111df}\u{11238}\u{11239}\u{1123b}\u{1123c}\u{112a9}\u{1144b}\u{1144c}\u{115c2}\u{115c3}\u{115c9}\u{115ca}\u{115cb}\u{115cc}\u{115cd}\u{115ce}\u{115cf}\u{115d0}\u{115d1}\u{115d2}\u{115d3}\u{115d4}\u{115d5}\u{115d6}\u{115d7}\u{11641}\u{11642}\u{1173c}\u{1173d}\u{1173e}\u{11a42}\u{11a43}\u{11a9b}\u{11a9c}\u{11c41}\u{11c42}\u{16a6e}\u{16a6f}\u{16af5}\u{16b37}\u{16b38}\u{16b44}\u{1bc9f}\u{1da88}";

/// The marks that end a line properly, in all scripts.
const TERMINALS: &str = "!.?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡\u{10a56}\u{10a57}\u{10f55}\u{10f56}\u{10f57}\u{10f58}\u{10f59}\u{10f86}\u{10f87}\u{10f88}\u{10f89}\u{11047}\u{11048}\u{110be}\u{110bf}\u{110c0}\u{110c1}\u{11141}\u{11142}\u{11143}\u{111c5}\u{111c6}\u{111cd}\u{111de}\u{111df}\u{11238}\u{11239}\u{1123b}\u{1123c}\u{112a9}\u{1144b}\u{1144c}\u{115c2}\u{115c3}\u{115c9}\u{115ca}\u{115cb}\u{115cc}\u{115cd}\u{115ce}\u{115cf}\u{115d0}\u{115d1}\u{115d2}\u{115d3}\u{115d4}\u{115d5}\u{115d6}\u{115d7}\u{11641}\u{11642}\u{1173c}\u{1173d}\u{1173e}\u{11944}\u{11946}\u{11a42}\u{11a43}\u{11a9b}\u{11a9c}\u{11c41}\u{11c42}\u{11ef7}\u{11ef8}\u{11f43}\u{11f44}\u{16a6e}\u{16a6f}\u{16af5}\u{16b37}\u{16b38}\u{16b44}\u{16e98}\u{1bc9f}\u{1da88}";

/// datatrove's punctuation besides the terminal marks and the control characters.
const SYMBOLS: &str =
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»";

/// The flags of every character, in two levels: 4,352 blocks of 256 characters, equal blocks stored once.
pub struct CharTable {
    index: Vec<u16>,
    blocks: Vec<[u32; 256]>,
}

/// The one table.
pub static CHARS: LazyLock<CharTable> = LazyLock::new(CharTable::new);

impl CharTable {
    /// The flags of `c`, an or of the constants of this module.
    #[inline]
    pub fn flags(&self, c: char) -> u32 {
        let code = c as usize;
        self.blocks[self.index[code >> 8] as usize][code & 0xFF]
    }

    /// The flags of the ASCII characters.
    pub fn ascii(&self) -> &[u32; 256] {
        &self.blocks[self.index[0] as usize]
    }

    fn new() -> Self {
        let mut flags = vec![0u32; 0x11_0000];
        for (flag, class) in [
            (SPACE, format!("[{SPACES}]")),
            (LETTER, r"[\p{L}]".into()),
            (ALPHANUMERIC, r"[\p{L}\p{N}]".into()),
            (PUNCTUATION, r"[\p{P}]".into()),
            (SYMBOL, r"[\x{00}-\x{08}\x{0B}-\x{1F}\x{7F}-\x{9F}]".into()),
            (ALPHA, format!("[{CASED}{CASELESS}]")),
            (LOWER, format!(r"[[[{CASED}]&&\p{{Ll}}]{CASELESS}\x{{294}}]")),
            (UPPER, format!(r"[[[{CASED}]&&\p{{Lu}}]{CASELESS}\x{{3A2}}]")),
            (ICON | PREFIX | SUFFIX | INFIX, ICONS.into()),
            (BEFORE_STOP, format!(r"[[[{CASED}]&&\p{{Ll}}]{CASELESS}\x{{294}}0-9%²\-+|(?:)]")),
            (DIGIT, "[0-9]".into()),
            (ANY_DIGIT, r"[\p{Nd}]".into()),
        ] {
            for (from, to) in ranges(&class) {
                flags[from as usize..=to as usize].iter_mut().for_each(|known| *known |= flag);
            }
        }
        for (flag, members) in [
            (PREFIX | SUFFIX | BEFORE_STOP, TOKEN_PUNCTUATION),
            (PREFIX | SUFFIX | BEFORE_STOP | QUOTE, QUOTES),
            (PREFIX, "§%=—–"),
            (SUFFIX, "—–"),
            (PREFIX | CURRENCY, CURRENCIES),
            (INFIX, ".…+-*^,–—~:<>=/"),
            (SENTENCE_END, SENTENCE_ENDS),
            (TERMINAL | SYMBOL, TERMINALS),
            (SYMBOL, SYMBOLS),
        ] {
            members.chars().for_each(|c| flags[c as usize] |= flag);
        }
        let (mut index, mut blocks) = (Vec::with_capacity(0x1100), Vec::<[u32; 256]>::new());
        for block in flags.chunks_exact(256) {
            let known = blocks.iter().position(|b| b == block).unwrap_or_else(|| {
                blocks.push(block.try_into().expect("chunks of 256"));
                blocks.len() - 1
            });
            index.push(known as u16);
        }
        Self { index, blocks }
    }
}

/// The code points of a class written as a regular expression.
fn ranges(class: &str) -> Vec<(u32, u32)> {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.ranges().iter().map(|r| (r.start() as u32, r.end() as u32)).collect()
        }
        other => unreachable!("the classes of this file are valid, this one is {other:?}: {class}"),
    }
}
