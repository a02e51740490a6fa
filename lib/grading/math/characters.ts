/** What a character beyond ASCII means in LaTeX; a trailing space keeps a command's name apart from what follows. */
const meanings: Readonly<Record<string, string>> = {
  '−': '-',
  '–': '-',
  '—': '-',
  '‐': '-',
  '‑': '-',
  '﹣': '-',
  '－': '-',
  '×': '\\times ',
  '✕': '\\times ',
  '⋅': '\\cdot ',
  '·': '\\cdot ',
  '∙': '\\cdot ',
  '•': '\\cdot ',
  '∗': '*',
  '＊': '*',
  '÷': '\\div ',
  '∕': '/',
  '⁄': '/',
  '／': '/',
  '＋': '+',
  '＝': '=',
  '±': '\\pm ',
  '∓': '\\mp ',
  '√': '\\sqrt ',
  '∛': '\\sqrt[3]',
  '∜': '\\sqrt[4]',
  '∞': '\\infty ',
  '≤': '\\le ',
  '≦': '\\le ',
  '⩽': '\\le ',
  '≥': '\\ge ',
  '≧': '\\ge ',
  '⩾': '\\ge ',
  '≠': '\\ne ',
  '≈': '\\approx ',
  '≃': '\\approx ',
  '≅': '\\cong ',
  '≡': '\\equiv ',
  '∼': '\\sim ',
  '＜': '<',
  '＞': '>',
  '∈': '\\in ',
  '∉': '\\notin ',
  '∪': '\\cup ',
  '∩': '\\cap ',
  '∖': '\\setminus ',
  '∅': '\\emptyset ',
  '⊂': '\\subset ',
  '⊆': '\\subset ',
  '∧': '\\land ',
  '∨': '\\lor ',
  '∣': '|',
  '∥': '\\parallel ',
  '→': '\\to ',
  '⇒': '\\implies ',
  '⟹': '\\implies ',
  '⇔': '\\implies ',
  '∴': ' ',
  '°': '^{\\circ}',
  º: '^{\\circ}',
  '˚': '^{\\circ}',
  '′': "'",
  '’': "'",
  '‘': "'",
  '″': "''",
  '“': '"',
  '”': '"',
  '…': '\\ldots ',
  '⋯': '\\ldots ',
  '∑': '\\sum ',
  '∏': '\\prod ',
  '∫': '\\int ',
  '∂': '\\partial ',
  '∀': '\\forall ',
  '∃': '\\exists ',
  '∠': '\\angle ',
  '△': '\\triangle ',
  '⌊': '\\lfloor ',
  '⌋': '\\rfloor ',
  '⌈': '\\lceil ',
  '⌉': '\\rceil ',
  '⟨': '\\langle ',
  '⟩': '\\rangle ',
  '〈': '\\langle ',
  '〉': '\\rangle ',
  α: '\\alpha ',
  β: '\\beta ',
  γ: '\\gamma ',
  δ: '\\delta ',
  ε: '\\epsilon ',
  ϵ: '\\epsilon ',
  ζ: '\\zeta ',
  η: '\\eta ',
  θ: '\\theta ',
  ϑ: '\\theta ',
  ι: '\\iota ',
  κ: '\\kappa ',
  λ: '\\lambda ',
  μ: '\\mu ',
  µ: '\\mu ',
  ν: '\\nu ',
  ξ: '\\xi ',
  π: '\\pi ',
  𝜋: '\\pi ',
  ρ: '\\rho ',
  σ: '\\sigma ',
  τ: '\\tau ',
  υ: '\\upsilon ',
  φ: '\\phi ',
  ϕ: '\\phi ',
  χ: '\\chi ',
  ψ: '\\psi ',
  ω: '\\omega ',
  Γ: '\\Gamma ',
  Δ: '\\Delta ',
  '∆': '\\Delta ',
  Θ: '\\Theta ',
  Λ: '\\Lambda ',
  Ξ: '\\Xi ',
  Π: '\\Pi ',
  Σ: '\\Sigma ',
  Φ: '\\Phi ',
  Ψ: '\\Psi ',
  Ω: '\\Omega ',
  ℝ: '\\mathbb{R}',
  ℤ: '\\mathbb{Z}',
  ℚ: '\\mathbb{Q}',
  ℕ: '\\mathbb{N}',
  ℂ: '\\mathbb{C}',
  ℯ: 'e',
  ⅈ: 'i',
  ⅇ: 'e',
  '½': '\\frac{1}{2}',
  '⅓': '\\frac{1}{3}',
  '⅔': '\\frac{2}{3}',
  '¼': '\\frac{1}{4}',
  '¾': '\\frac{3}{4}',
  '⅕': '\\frac{1}{5}',
  '⅖': '\\frac{2}{5}',
  '⅗': '\\frac{3}{5}',
  '⅘': '\\frac{4}{5}',
  '⅙': '\\frac{1}{6}',
  '⅚': '\\frac{5}{6}',
  '⅐': '\\frac{1}{7}',
  '⅛': '\\frac{1}{8}',
  '⅜': '\\frac{3}{8}',
  '⅝': '\\frac{5}{8}',
  '⅞': '\\frac{7}{8}',
  '⅑': '\\frac{1}{9}',
  '⅒': '\\frac{1}{10}',
  '（': '(',
  '）': ')',
  '［': '[',
  '］': ']',
  '｛': '{',
  '｝': '}',
  '，': ',',
  '、': ',',
  '；': ';',
  '：': ':',
  '。': '.',
  '％': '\\%',
  '€': '\\euro ',
  '£': '\\pounds ',
  '¥': '\\yen ',
  '￥': '\\yen ',
  '＄': '\\$',
  '₹': '\\rupee ',
  '¢': '\\text{cents}',
  '\u00a0': ' ',
  '\u2002': ' ',
  '\u2003': ' ',
  '\u2009': '\\,',
  '\u202f': '\\,',
  '\u2005': ' ',
  '\u2006': ' ',
  '\u3000': ' ',
  '\u200b': '',
  '\u200c': '',
  '\u200d': '',
  '\u2060': '',
  '\ufeff': '',
  '\u2061': '',
  '\u2062': '',
  '\u2063': ',',
  '✓': '',
  '✅': '',
  '■': '',
  '□': '',
  '∎': '',
}

const superscripts = '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱˣ'
const subscripts = '₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢₓ'
const scriptMeanings = '0123456789+-nix'
const script = new RegExp(`[${superscripts}]+|[${subscripts}]+`, 'g')
const beyondAscii = /[^\0-\x7f]/gu
/** Letters that JSON or a string literal made of a command's backslash and first letter. */
const controlled: readonly [RegExp, string][] = [
  [/\f(?=rac|box|loor)/g, '\\f'],
  [/[\b](?=oxed|egin|inom|eta|ar\{)/g, '\\b'],
  [/\t(?=imes|ext|frac|heta|an\b)/g, '\\t'],
  [/\r(?=ight|ho\b|angle|floor|ceil)/g, '\\r'],
]
const doubledCommand =
  /\\\\(?=(?:d?t?frac|sqrt|text|mathrm|mathbf|left|right|pi|times|cdot|boxed|fbox|infty|begin|end|sin|cos|tan|ln|log|leq?|geq?|cup|cap|pm|circ|binom|theta|alpha|beta|overline|quad|in)(?![A-Za-z]))/g

/** What pages make of characters that they cannot hold. */
const entities: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  le: '\\le ',
  ge: '\\ge ',
  ne: '\\ne ',
  minus: '-',
  times: '\\times ',
  nbsp: ' ',
  quot: '"',
}
const entity = /&(lt|gt|le|ge|ne|minus|times|nbsp|quot);/g

function unfoldScript(run: string): string {
  const raised = superscripts.includes(run[0] as string)
  const from = raised ? superscripts : subscripts
  return `${raised ? '^' : '_'}{${[...run].map((character) => scriptMeanings[from.indexOf(character)]).join('')}}`
}

/** The backslashes of a text that was escaped twice, halved; rows of matrices keep theirs. */
function halveEscapes(text: string): string {
  if (!text.includes('\\\\')) return text
  if (/\\\\begin\s*\{/.test(text)) return text.replaceAll('\\\\', '\\')
  if (text.includes('\\begin')) return text
  return text.replace(doubledCommand, '\\').replace(/\\\\([{}%$,;!])/g, '\\$1')
}

/** One spelling for what Unicode, JSON and double escapes offer several for: ASCII and LaTeX commands. */
export function toLatex(text: string): string {
  let plain = text
  for (const [pattern, replacement] of controlled) plain = plain.replace(pattern, replacement)
  plain = halveEscapes(plain).replace(entity, (_, name: string) => entities[name] as string)
  if (!beyondAscii.test(plain)) return plain
  beyondAscii.lastIndex = 0
  return plain
    .replace(script, unfoldScript)
    .replace(beyondAscii, (character) => meanings[character] ?? fromFont(character) ?? character)
}

/** A letter or digit that Unicode has once more in a mathematical font or full width, as the plain one. */
function fromFont(character: string): string | undefined {
  const plain = character.normalize('NFKC')
  if (plain.length === 1 && plain < '\x7f') return plain
  return plain === character ? undefined : meanings[plain]
}
