"""How mail programs, in many languages, mark what is quoted, forwarded or signed. One pattern a line."""

from __future__ import annotations

import re

#: Lines that end what was written: a rule of dashes or underscores, a signature's mark, "-- original message --".
DELIMITERS = [
    re.compile(r"^\s*[-_=\u2014]{2,}[\s\u00a0]*$"),
    re.compile(r"^\s*[-_*]{5,}\s*(reply above this line|.*\b(original|forwarded|urspr\u00fcngliche|weitergeleitete)\b.*)", re.IGNORECASE),
    re.compile(r"^\s*(reply|please reply|write your reply).{0,30}\babove (this|the) line\b", re.IGNORECASE),
    re.compile(r"^\s*(reply above this line|## ?please do not write below this line)", re.IGNORECASE),
    re.compile(r"^(you are receiving this (because|mail)|to unsubscribe from|unsubscribe:)\b", re.IGNORECASE),
]  # fmt: skip
#: Lines after which an older mail follows.
EMBEDDED = [
    re.compile(r"^[\s>]*[*_]*\s*(on|le|el|em|il|am|op|den|w dniu|på|vào|dne|a)\b.{3,200}\b(wrote|writes|a écrit|escribi[oó]|escreveu|ha scritto|schrieb\b.{0,80}|schreef\b.{0,80}|skrev\b.{0,80}|napisał\(?a?\)?|đã viết|kirjoitti|napsal\(?a?\)?|írta)\s*:?\s*[*_]*\s*$", re.IGNORECASE),
    re.compile(r"^[\s>]*[\d\w].{0,200}[<(\[][^<>()\[\]\s]+@[^<>()\[\]\s]+[>)\]].{0,40}(:|wrote|schrieb|escribió|napisał\(?a?\)?)\s*:?\s*$", re.IGNORECASE),
    re.compile(r"^[\s>]*\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[ T,]+\d{1,2}:\d{2}.{0,120}[<\[][^<>\[\]\s]+@[^<>\[\]\s]+[>\]].{0,10}:?\s*$"),
    re.compile(r"^[\s>]*(?=.*(\d{1,2}[:.]\d{2}|\b(19|20)\d{2}\b|@)).{0,160}\b(wrote|schrieb|a écrit|escribió|escreveu|ha scritto|schreef|geschreven|skrev|написала?|писал|пишет|kirjoitti)\b.{0,80}:\s*$", re.IGNORECASE),
    re.compile(r"^[\s>]*-{2,}\s*(on|am|le|el|il|op)\b.{5,200}\b(wrote|schrieb|écrit|escribió|scritto|schreef)\s*:?\s*-{2,}\s*$", re.IGNORECASE),
    re.compile(r"^[\s>]*\d{4}-\d{2}-\d{2} \d{1,2}:\d{2} (GMT|UTC)?[+-]?\d{2}:?\d{2}\b.{0,160}$"),
    re.compile(r"^[\s>]*\d{1,2} \w{3,9}\.? \d{4} ?г?\.?,? (в )?\d{1,2}:\d{2}.{0,160}[<:]\s*$"),
    re.compile(r"^[\s>]*在.{3,120}(写道|寫道)\s*[:：]\s*$"),
    re.compile(r"^[\s>]*.{3,120}(于|於).{3,80}(写道|寫道)\s*[:：]\s*$"),
    re.compile(r"^[\s>]*\d{4}年\d{1,2}月\d{1,2}日.{0,120}[:：]?\s*$"),
    re.compile(r"^[\s>]*[-*_ ]{1,12}\s*(original message|original appointment|forwarded (message|email)|begin forwarded message|message d'origine|ursprüngliche nachricht|mensaje original|mensagem original|messaggio originale|oorspronkelijk bericht|opprinnelig melding|ursprungligt meddelande|пересланное сообщение|исходное сообщение)\s*:?\s*[-*_ ]*\s*$", re.IGNORECASE),
    re.compile(r"^[\s>]*(begin forwarded message|anfang der weitergeleiteten nachricht|début du message réexpédié)\s*:\s*$", re.IGNORECASE),
]  # fmt: skip
HEADER_NAMES = (
    "from|to|cc|bcc|date|sent|subject|reply-to|importance|priority|von|gesendet|an|betreff|datum|kopie|de|à|envoyé|objet|"
    "enviado|enviada|asunto|assunto|para|fecha|data|da|inviato|a|oggetto|van|verzonden|aan|onderwerp|från|skickat|till|ämne|"
    "fra|sendt|til|emne|risposta|od|wysłano|do|temat|от|кому|дата|тема|отправлено|发件人|收件人|发送时间|主题|sender|message-id"
)
HEADER = re.compile(rf"^[\s>]*[*_]*({HEADER_NAMES})[*_]*\s*[:：][*_]*\s*\S", re.IGNORECASE)
SIGNATURES = [
    re.compile(r"^[\s>*_]*[(<\[]*\s*(sent|posted|gesendet) (from|by|via|with)\b.{1,80}$", re.IGNORECASE),
    re.compile(r"^[\s>*_]*(from my|von meinem|someone from|get \[?outlook)\b.{1,80}$", re.IGNORECASE),
    re.compile(r"^[\s>*_]*(diese nachricht|diese e-?mail) wurde von .{1,80} (gesendet|verschickt)\.?\s*$", re.IGNORECASE),
    re.compile(r"^[\s>*_]*(verzonden|gesendet|verstuurd) (met|mit|via)\b.{1,60}$", re.IGNORECASE),
    re.compile(r"^\s*\u1427\s*$"),
    re.compile(r"^[\s>*_]*(sent|gesendet|envoyé|enviado|enviada|inviato|verzonden|verstuurd|skickat|sendt|wysłan[eo]|odoslané|trimis|отправлено|lähetetty)\s+(from|via|with|by|using|von|mit|depuis|de|du|desde|do|da|vanaf|van|från|fra|z|di|с|из)\b.{1,60}$", re.IGNORECASE),
    re.compile(r"^[\s>*_]*(get|téléchargez|hol dir|obtener?) outlook (for|pour|für|para)\b.{0,40}", re.IGNORECASE),
    re.compile(r"^[\s>*_]*(von meinem|de mon|da mio|desde mi|från min|mijn) (iphone|ipad|handy|android|smartphone)\b.{0,40}$", re.IGNORECASE),
    re.compile(r"^.{0,30}(iPhone|iPad|Android|Windows Phone|BlackBerry)(から送信| 에서 보냄|发自.*|傳送自.*)\s*$"),
    re.compile(r"^(发自|從我的|从我的).{1,40}$"),
]  # fmt: skip
QUOTE = re.compile(r"^\s*(>|&gt;)")
CODE = re.compile(r"(?ms)^```.*?^```[ \t]*$")
OPENERS = r"on|le|el|em|il|am|op|den|w dniu|på|\d{4}-\d{2}-\d{2} \d{1,2}:\d{2}|\d{1,2} \w{3,9}\.? \d{4}"
WROTE = (
    r"wrote|writes|a écrit|escribió|escreveu|ha scritto|schrieb\b.{0,60}|schreef|geschreven|skrev|napisał\(?a?\)?|"
    r"написала?|[<(]?[^\s<>]+@[^\s<>]+[>)]"
)
#: The line before an older mail, broken by a mail program: two or three lines that are one.
SPLIT_HEADER = re.compile(
    rf"(?im)^([ \t>]*(?:{OPENERS})\b[^\n]{{3,160}})\n((?:[ \t>]*[^\n]{{1,120}}\n)?[ \t>]*[^\n]{{0,120}}(?:{WROTE})\s*:[ \t]*)$"
)
SPLIT_GERMAN = re.compile(r"(?im)^([^\n]{2,120}<[^\s<>]+@[^\s<>]+> schrieb[^\n]{0,60})\n([^\n]{1,60}:[ \t]*)$")
