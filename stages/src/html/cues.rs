//! What the words of a block say about it: one mask from one pass over its beginning.
//!
//! Phrases that stand on pages of every kind and in several languages, never names of sites. They are features of the model,
//! never verdicts: an article about cookies stays an article.

use std::sync::LazyLock;

use super::phrases::Phrases;

/// Sets of phrases, one bit each; a phrase counts where it begins a word. The order is known to the model.
const GROUPS: [&str; COUNT] = [
    "©|copyright|all rights reserved|alle rechte|tous droits|derechos reservados",
    "read more|learn more|see more|view all|see all|show more|load more|view more|find out more|continue reading|\
     weiterlesen|mehr erfahren|lire la suite|en savoir plus|leer más|read full|shop now|view details|discover more|\
     leggi tutto|leggi di più|ler mais|lees meer|lees verder|läs mer|czytaj więcej|czytaj dalej|mehr lesen|mehr anzeigen|\
     mehr laden|alle anzeigen|voir plus|voir tout|afficher plus|ver más|ver todo|ver mais|mostra altro|показать еще|\
     читать далее|подробнее|続きを読む|もっと見る|查看更多|阅读全文",
    "share|tweet|pin it|follow us|facebook|twitter|linkedin|whatsapp|instagram|teilen|partager|compartir|comparte|\
     compartilh|condividi|delen via|udostępnij|auf facebook|folgen sie|folge uns|suivez|síguenos|segui|поделиться|シェア|分享",
    "related|you may|you might|recommended|more from|popular|trending|similar|recently viewed|also like|customers also|\
     read next|next up|latest|more in|more stories|most read|don't miss|recommendations|explore more|more articles|\
     you'll also|keep reading|lea también|lea más|lea:|lee también|leia também|leia mais|leggi anche|lire aussi|à lire|\
     lesen sie|lies auch|auch interessant|das könnte|mehr zum|mehr aus|mehr zu|zum thema|verwandte|ähnliche|\
     weitere artikel|weitere themen|neueste|meistgelesen|relacionad|te puede interesar|también te|más leíd|más noticias|\
     lo más|correlat|potrebbe interessarti|articles similaires|sur le même|à voir aussi|les plus lus|lees ook|gerelateerd|\
     läs också|läs även|czytaj też|czytaj także|zobacz także|zobacz też|polecamy|читайте также|по теме|関連|おすすめ|ランキング|人気|相关|\
     推荐|热门",
    "subscribe|newsletter|sign up|your email|email address|e-mail|inbox|unsubscribe|subscri|suscríb|suscrib|abonn|\
     inscrivez|iscriviti|inscreva|assine|nieuwsbrief|nyhetsbrev|подпис|メルマガ|订阅|correo electrónico|posta elettronica",
    "log in|login|sign in|register|my account|create an account|password|logout|log out|anmelden|einloggen|registrieren|\
     mein konto|iniciar sesión|regístr|se connecter|connexion|s'inscrire|accedi|registrati|inloggen|logga in|zaloguj|войти|\
     регистрац|ログイン|会員登録|登录|注册",
    "add to cart|add to bag|add to basket|buy now|checkout|wishlist|wish list|in stock|out of stock|sold out|quick view|\
     free shipping|quantity|cart|basket|select options|choose options|in den warenkorb|warenkorb|auf lager|lieferbar|\
     ajouter au panier|panier|añadir al carrito|carrito|carrello|carrinho|winkelwagen|koszyk|корзин|カート|购物车",
    "cookie|consent|gdpr|we use|accept all|wir verwenden|akzeptieren|nous utilisons|accepter|utilizamos|aceptar|\
     utilizziamo|accetta",
    "privacy|terms of|terms &|terms and|disclaimer|impressum|legal notice|sitemap|accessibility|datenschutz|\
     nutzungsbedingungen|agb|barrierefreiheit|mentions légales|confidentialité|conditions générales|aviso legal|privacidad|\
     informativa|プライバシー|利用規約|隐私",
    "comment|leave a|reply|replies|kommentar|your email address will not|antworten|schreibe einen|ihre meinung|\
     teilen sie uns|laisser un|répondre|deja un|comentar|responder|lascia un|rispondi|reageer|reacties|dodaj komentarz|\
     комментар|コメント|评论",
    "by |posted|published|updated|written by|min read|minute read|minutes read|von |last modified|par |veröffentlicht|\
     aktualisiert|publié|mis à jour|publicado|actualizado|atualizado|pubblicato|aggiornato|redaktion|redacción|rédaction|\
     redazione|опубликован|公開|更新",
    "review|rating|star|verified|out of 5|helpful",
    "$|€|£|¥|usd|eur |price|from $|₹|sale|save ",
    "description|overview|about this|details|feature|specification|highlights|ingredients|how to use|product info|\
     materials|dimensions|what's included|size",
    "skip to|home|menu|back to|next|previous|prev|contact|search|top|jump to|main content|close|toggle|navigation|\
     startseite|zurück|suche|kontakt|menü|zum inhalt|accueil|rechercher|retour|aller au|inicio|buscar|volver|contacto|\
     ir al|contatti|início|pesquisar|ホーム|検索|トップ|首页|搜索|поиск|главная",
    "faq|frequently asked|question|how do|what is|can i|what are|how can",
    "joined|posts|member|quote|like|solved|accepted|views|thread|topic|moderator|answered|asked|edited|#|posts:|location:|\
     report",
    "filter|sort|result|showing|items|clear all|products|per page|page ",
    "shipping|return|delivery|warranty|refund|payment",
    "get started|book|request|free trial|demo|download|donate|try |schedule|join|apply|call us|get a|start ",
    "advert|sponsor|affiliate|commission|promoted|ad |anzeige|werbung|publicité|publicidad|pubblicità|reklam|реклам|広告|广告",
    "table of contents|in this article|on this page|contents|inhalt|in this section|sommaire|índice|table des matières|\
     spis treści|оглавление|目次|目录",
    "about the author|author|about the|is a writer|is a freelance|contributor|editor|über den autor|über die autor|\
     zum autor|autorin|à propos de l|sobre el autor|sull'autore|об авторе",
    "photo|image|credit|getty|source|picture|courtesy|figure|illustration|video|foto|bild:|quelle|abbildung|crédit|fuente|\
     fonte|фото|写真|图片",
    "jan|feb|mar |march|apr|may |jun|jul|aug|sep|oct|nov|dec|hours ago|days ago|ago|yesterday|202|201",
    "references|footnote|bibliography|external links|further reading|notes|citation|see also|quellen|einzelnachweise|\
     weblinks|literaturverz|fußnoten|siehe auch|références|voir aussi|referencias|véase|referências|bibliograf|riferimenti|\
     przypisy|примечания|参考|脚注",
    "javascript|browser|enable|loading|please wait",
    "testimonial|our team|our clients|trusted by|case stud|customers|what our|why choose|our services|partners",
    "phone|tel|address|hours|directions|fax|mon|open ",
    "tags|tagged|categor|filed under|topics|schlagw|labels|keywords|kategorie|étiquettes|catégorie|mots-clés|etiquetas|\
     categoría|etichette|タグ|标签|метки",
    "edit|print|save|view source|history|copy|permalink|last edited|improve this",
    "select|choose|enter|submit|required|optional",
];

/// How many sets there are.
pub const COUNT: usize = 32;

/// A set of cues.
pub type Cues = u32;

/// Bytes of a block that are looked at: what a block is, it says at once.
pub const LOOKED_AT: usize = 160;

static PHRASES: LazyLock<Phrases<Cues>> = LazyLock::new(|| {
    let each = |(at, list): (usize, &'static str)| list.split('|').map(move |phrase| (phrase, 1 << at));
    Phrases::new(GROUPS.into_iter().enumerate().flat_map(each))
});

/// The cues in a text.
pub fn cues(text: &str) -> Cues {
    let bytes = text.as_bytes();
    let bytes = &bytes[..bytes.len().min(LOOKED_AT)];
    let mut found = 0;
    PHRASES.find(bytes, |before, _| !before.is_ascii_alphanumeric(), |_, cue| found |= cue);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_count_where_a_word_begins() {
        assert_eq!(cues("Read more") & 2, 2);
        assert_eq!(cues("bread more") & 2, 0);
        assert_eq!(cues("© 1999") & 1, 1);
        assert_eq!(cues(""), 0);
    }

    #[test]
    fn a_text_cut_inside_a_letter_is_no_harm() {
        assert_eq!(cues(&"é".repeat(200)), 0);
    }
}
