//! Made-up names of people, in many scripts and with characters that break careless code.

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::model::{Gender, Name};

const GIRLS: [&str; 48] = [
    "Amelia",
    "Olivia",
    "Isla",
    "Ava",
    "Freya",
    "Zoë",
    "Chloé",
    "Siân",
    "Niamh",
    "Aoife",
    "Saoirse",
    "Mary-Anne",
    "Anne Marie",
    "Łucja",
    "Zofia",
    "Małgorzata",
    "Nguyệt",
    "Thị Hương",
    "Fatima",
    "Aaliyah",
    "Priya",
    "Ananya",
    "Mei",
    "Yuki",
    "Björk",
    "Þóra",
    "Søs",
    "Ørjana",
    "Inês",
    "Conceição",
    "Jūratė",
    "Dženana",
    "Şeyma",
    "İpek",
    "Ioana",
    "Ştefania",
    "Анна",
    "Ольга",
    "Ελένη",
    "مريم",
    "李娜",
    "さくら",
    "지우",
    "नेहा",
    "ਸਿਮਰਨ",
    "שרה",
    "Ngozi",
    "Renée",
];

const BOYS: [&str; 48] = [
    "Oliver",
    "George",
    "Noah",
    "Arthur",
    "Muhammad",
    "Leo",
    "Théo",
    "Seán",
    "Rhys",
    "Iestyn",
    "Pádraig",
    "Jean-Luc",
    "Billy Joe",
    "Łukasz",
    "Paweł",
    "Grzegorz",
    "Đức",
    "Văn Minh",
    "Yusuf",
    "Ibrahim",
    "Arjun",
    "Rohan",
    "Wei",
    "Haruto",
    "Jörg",
    "Ægir",
    "Søren",
    "Åke",
    "João",
    "Gonçalo",
    "Žygimantas",
    "Džemal",
    "Çağatay",
    "Işık",
    "Ionuț",
    "Ștefan",
    "Иван",
    "Сергей",
    "Γιώργος",
    "محمد",
    "王伟",
    "蓮",
    "민준",
    "राहुल",
    "ਗੁਰਪ੍ਰੀਤ",
    "דוד",
    "Chukwuemeka",
    "Andre\u{301}",
];

const SURNAMES: [&str; 72] = [
    "Smith",
    "Jones",
    "Taylor",
    "Brown",
    "Williams",
    "Wilson",
    "Johnson",
    "Davies",
    "Patel",
    "Robinson",
    "Wright",
    "Thompson",
    "Evans",
    "Walker",
    "White",
    "Roberts",
    "Green",
    "Hall",
    "Wood",
    "Jackson",
    "Clarke",
    "Khan",
    "Hussain",
    "Ahmed",
    "Begum",
    "Ali",
    "Singh",
    "Kaur",
    "Shah",
    "Okafor",
    "Adeyemi",
    "Mensah",
    "O'Brien",
    "O’Connor",
    "D'Souza",
    "N'Diaye",
    "MacDonald",
    "McKenzie",
    "Llewellyn-Jones",
    "Smith-Okonkwo",
    "van der Berg",
    "de la Cruz",
    "von Größe",
    "Müller",
    "Weiß",
    "Björnsdóttir",
    "Þorsteinsson",
    "Ångström",
    "Østergård",
    "Kowalska",
    "Wójcik",
    "Żółkiewski",
    "Nováková",
    "Dvořák",
    "Čapek",
    "Kovačević",
    "Öztürk",
    "Yıldız",
    "Ionescu",
    "Țurcanu",
    "Nguyễn",
    "Trần",
    "Lê",
    "Иванова",
    "Петров",
    "Παπαδοπούλου",
    "الحسن",
    "王",
    "佐藤",
    "김",
    "शर्मा",
    "Featherstonehaugh-Cholmondeley",
];

/// A name for a child or adult, with the family's surname if it has one.
pub(crate) fn person(rng: &mut ChaCha8Rng, gender: Gender, family: Option<&str>) -> Name {
    Name {
        forename: forename(rng, gender).to_owned(),
        middle: rng
            .random_bool(0.3)
            .then(|| forename(rng, gender).to_owned()),
        surname: family.map_or_else(|| surname(rng), str::to_owned),
        legal_forename: rng
            .random_bool(0.04)
            .then(|| forename(rng, gender).to_owned()),
    }
}

/// A typical forename for this gender.
pub(crate) fn forename(rng: &mut ChaCha8Rng, gender: Gender) -> &'static str {
    let list = match gender {
        Gender::Female => &GIRLS,
        Gender::Male => &BOYS,
    };
    list.choose(rng).copied().unwrap_or("Alex")
}

/// A family's surname. One in twelve is double-barrelled, so a large school has more names than the list.
pub(crate) fn surname(rng: &mut ChaCha8Rng) -> String {
    let first = SURNAMES.choose(rng).copied().unwrap_or("Smith");
    if rng.random_bool(0.08) {
        let second = SURNAMES.choose(rng).copied().unwrap_or("Jones");
        return format!("{first}-{second}");
    }
    first.to_owned()
}

const PLACES: [&str; 24] = [
    "Ashgrove",
    "Beacon Hill",
    "Cranmere",
    "Dunford",
    "Elmswell",
    "Fairlight",
    "Greystone",
    "Hollybrook",
    "Ivybridge",
    "Kestrel",
    "Larkfield",
    "Millbrook",
    "Northgate",
    "Oakdene",
    "Priory",
    "Quarry Bank",
    "Ravenscourt",
    "St Aldhelm's",
    "Thornbury",
    "Underwood",
    "Valley",
    "Westbourne",
    "Yarrow",
    "Bryn Glas",
];

/// A school's name: place by position, ending by what it teaches.
pub(crate) fn school(school: u32, ending: &str) -> String {
    let n = school as usize;
    let place = PLACES.get(n % PLACES.len()).copied().unwrap_or("Ashgrove");
    match n / PLACES.len() {
        0 => format!("{place} {ending}"),
        round => format!("{place} {ending} {}", round + 1),
    }
}

/// The local part of an email address: ASCII letters, and the position to make it unique.
pub(crate) fn mailbox(name: &Name, n: usize) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphabetic)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    format!("{}.{}{n}", plain(&name.forename), plain(&name.surname))
        .trim_start_matches('.')
        .to_owned()
}
