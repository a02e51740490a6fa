/** Where words that say what a letter stands for may begin. */
const opening = /[\s,;(]*(?:\\q?quad\s*)?(?:\\text\s*\{\s*,?\s*|\()?\b(?:where|for|with)\b/g
const qualifier =
  /^(?:where|for|with) (?:any |all |every |some |each |an? )?(?:(arbitrary |positive |negative )?(integers?|whole numbers?|reals?|real numbers?|constants?|numbers?) )?([A-Za-z])(?: ?\\in ?\\mathbb ?([ZR])| is (?:an? |any )?(?:arbitrary )?(integer|whole number|real|real number|constant))?$/

/**
 * An answer that ends by saying what its letter stands for, in symbols: "kπ for any integer k" as `kπ, k \in \mathbb{Z}`; "for any
 * real k" and "where C is a constant" are left out. Anything else stays.
 */
export function withQualifier(text: string): string {
  if (text.length > 400) return text
  for (const found of text.matchAll(opening)) {
    const word = found.index + found[0].search(/where|for|with/)
    const plain = text
      .slice(word)
      .replace(/\\(?:text|mathrm|mbox)\s*\{?|[{}()$.~]|\\[,;: ]/g, ' ')
      .replace(/\s+/g, ' ')
      .replace('ℤ', '\\mathbb Z')
      .trim()
    const [matched, sign, before, letter, set, after] = qualifier.exec(plain) ?? []
    if (matched === undefined || sign === 'positive ' || sign === 'negative ') continue
    const domain = set ?? before ?? after
    const every = /^for (?:any|all|every|some|each) /.test(plain)
    if (domain === undefined && !every) continue
    const head = text.slice(0, found.index)
    if (head === '') return text
    const whole = domain !== undefined && /^(?:Z|integer|whole)/.test(domain)
    return whole ? `${head}, ${letter} \\in \\mathbb{Z}` : head
  }
  return text
}
