/**
 * Internationalised domain names (RFC 5890–5893) between A-labels and U-labels. Free of Node, so that the web form shares it: the mapping tables and the bidi
 * and joiner rules are the runtime's own (the host parser of `URL`, which is UTS #46), and only what that leaves out is here.
 */

/** Bootstring parameters of Punycode (RFC 3492 §5). */
const BASE = 36
const T_MIN = 1
const T_MAX = 26
const SKEW = 38
const DAMP = 700
const INITIAL_BIAS = 72
const INITIAL_N = 0x80
const MAX_CODE_POINT = 0x10ffff

/** RFC 3492 §6.1 */
const adapt = (delta: number, points: number, first: boolean): number => {
  let rest = first ? Math.floor(delta / DAMP) : delta >> 1
  rest += Math.floor(rest / points)
  let k = 0
  for (; rest > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) rest = Math.floor(rest / (BASE - T_MIN))
  return k + Math.floor(((BASE - T_MIN + 1) * rest) / (rest + SKEW))
}

/** The value of a Punycode digit, a–z and 0–9 in lower case only; 36 for anything else. */
const digitValue = (code: number): number => {
  if (code >= 0x61 && code <= 0x7a) return code - 0x61
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 26
  return BASE
}

/** Decodes Punycode without its prefix (RFC 3492 §6.2). Null where it is not Punycode in lower case. */
const decodePunycode = (input: string): string | null => {
  const lastHyphen = input.lastIndexOf('-')
  const output = lastHyphen > 0 ? Array.from(input.slice(0, lastHyphen), (c) => c.charCodeAt(0)) : []
  let n = INITIAL_N
  let bias = INITIAL_BIAS
  let i = 0
  for (let at = lastHyphen > 0 ? lastHyphen + 1 : 0; at < input.length; ) {
    const before = i
    for (let weight = 1, k = BASE; ; k += BASE) {
      const digit = digitValue(input.charCodeAt(at++))
      if (digit >= BASE) return null
      i += digit * weight
      const threshold = Math.min(Math.max(k - bias, T_MIN), T_MAX)
      if (digit < threshold) break
      weight *= BASE - threshold
      // A label has at most 59 digits, which overflows a double's integers long before it ends; no such label means anything.
      if (i > MAX_CODE_POINT * 64) return null
    }
    bias = adapt(i - before, output.length + 1, before === 0)
    n += Math.floor(i / (output.length + 1))
    i %= output.length + 1
    if (n > MAX_CODE_POINT) return null
    output.splice(i++, 0, n)
  }
  return String.fromCodePoint(...output)
}

/**
 * What IDNA 2008 lets into a U-label (RFC 5892 §3): letters, marks, digits, and the exceptions of its §2.6, among them the characters that need a context.
 * Upper case, compatibility forms and ignorable characters fall to the round trip through UTS #46, which maps them to something else.
 */
const permitted = /^[\p{Ll}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}\u00b7\u0375\u05f3\u05f4\u06fd\u06fe\u0f0b\p{Join_Control}\u3007\u30fb-]+$/u
/** Exceptions that are disallowed (RFC 5892 §2.6), and conjoining Hangul Jamo (§2.9). */
const disallowed = /[\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]/

/** RFC 5892 appendix A.3–A.9: where the characters of CONTEXTO may stand. Joiners (A.1, A.2) are checked by UTS #46. */
const inContext = (label: string): boolean =>
  !/(?<!l)\u00b7|\u00b7(?!l)/.test(label) &&
  !/\u0375(?!\p{Script=Greek})/u.test(label) &&
  !/(?<!\p{Script=Hebrew})[\u05f3\u05f4]/u.test(label) &&
  (!label.includes('\u30fb') || /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(label.replaceAll('\u30fb', ''))) &&
  !(/[\u0660-\u0669]/.test(label) && /[\u06f0-\u06f9]/.test(label))

/** Letters written from right to left: those of the blocks that Unicode keeps for such scripts. */
const rightToLeft = /(?=[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}])[\p{Lo}\p{Lm}]/u

/** RFC 5893 §2, rules 1 and 5: only a label that begins with such a letter has such letters. Node's parser checks the other rules, for those labels alone. */
const isBidi = (label: string): boolean => {
  const first = rightToLeft.exec(label)
  return first === null || first.index === 0
}

/** The name as UTS #46 (non-transitional) maps it to ASCII, or null. Syntax of a URL is kept away from the parser. */
const mapToAscii = (name: string): string | null => {
  if (/[\s/\\?#@:%[\]]/.test(name)) return null
  try {
    return new URL(`http://${name}/`).hostname
  } catch {
    return null
  }
}

/**
 * The U-label of an A-label (`xn--…` in lower case), or null where it is not a valid A-label: it must be what its own U-label encodes to (RFC 5890 §2.3.2.1),
 * and the U-label must be one of IDNA 2008, which RFC 7622 §3.2 asks of an XMPP domain. Scripts may be mixed: a registry decides that, not this CA.
 */
const labelToUnicode = (aLabel: string): string | null => {
  const label = decodePunycode(aLabel.slice(4))
  if (label === null || !permitted.test(label) || disallowed.test(label) || !inContext(label) || !isBidi(label)) return null
  // RFC 5891 §4.2.3.1. A hyphen at an end is in the A-label too, except as its last character.
  if (label.startsWith('-') || label.endsWith('-') || label.slice(2, 4) === '--') return null
  // The second label keeps a label of digits from being taken for an IPv4 address.
  return mapToAscii(`${label}.test`) === `${aLabel}.test` ? label : null
}

/** True for a label that says it is an A-label. Lower case. */
const isALabel = (label: string): boolean => label.startsWith('xn--')

/** The first label of a lower-case name that says it is an A-label and isn't a valid one, or null. */
export const invalidALabel = (name: string): string | null =>
  name.split('.').find((label) => isALabel(label) && labelToUnicode(label) === null) ?? null

/** A lower-case ASCII name with its A-labels as U-labels, as people and XmppAddr write it. What is no valid A-label stays as it is. */
export const toUnicode = (name: string): string =>
  name
    .split('.')
    .map((label) => (isALabel(label) && labelToUnicode(label)) || label)
    .join('.')

/** A name as people write it, in any case and form, as lower-case ASCII with A-labels; null where there is no such name. */
export const toAscii = (name: string): string | null => {
  const ascii = mapToAscii(name)
  return ascii !== null && invalidALabel(ascii) === null ? ascii : null
}
