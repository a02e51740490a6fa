/** What Python's str.strip and str.split take for white space; JavaScript's differ in U+FEFF and the separators. */
function isSpace(code: number): boolean {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f)
  if (code < 0x1680) return code === 0x85 || code === 0xa0
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

/** As str.strip() */
export function strip(text: string): string {
  let begin = 0
  let end = text.length
  while (begin < end && isSpace(text.charCodeAt(begin))) begin++
  while (end > begin && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(begin, end)
}

/** As str.split() */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let begin = -1
  for (let i = 0; i < text.length; i++) {
    const space = isSpace(text.charCodeAt(i))
    if (!space && begin < 0) begin = i
    if (!space || begin < 0) continue
    words.push(text.slice(begin, i))
    begin = -1
  }
  if (begin >= 0) words.push(text.slice(begin))
  return words
}

/** As str.splitlines() */
export function splitLines(text: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines in Python
  const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** `_` stands between digits only. */
const numberText =
  /^([+-]?)(?:(\d+(?:_\d+)*)?(?:\.(\d+(?:_\d+)*)?)?(?:[eE]([+-]?\d+(?:_\d+)*))?|(inf|infinity)|(nan))$/i

/** As float(text); undefined where it raises. */
export function parseFloatText(text: string): number | undefined {
  const stripped = strip(text)
  const [, sign, whole, fraction, , infinite, nan] = numberText.exec(stripped) ?? []
  if (sign === undefined) return undefined
  if (nan !== undefined) return Number.NaN
  if (infinite !== undefined) return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  if (whole === undefined && fraction === undefined) return undefined
  return Number(stripped.replaceAll('_', ''))
}

/** decimal.Decimal takes exponents up to 10^18; BigInt would read longer ones slowly. */
const maxExponentLength = 24

/** A number as decimal.Decimal has it, in a form that equal numbers share; undefined for texts that are none, and for NaN. */
export function exactDecimal(text: string): string | undefined {
  const [, sign, wholeDigits, fractionDigits, exponent, infinite] = numberText.exec(text) ?? []
  if (sign === undefined) return undefined
  const minus = sign === '-' ? '-' : ''
  if (infinite !== undefined) return `${minus}inf`
  if (wholeDigits === undefined && fractionDigits === undefined) return undefined
  const fraction = (fractionDigits ?? '').replaceAll('_', '')
  const digits = (wholeDigits ?? '').replaceAll('_', '') + fraction
  let begin = 0
  let end = digits.length
  while (begin < end && digits[begin] === '0') begin++
  while (end > begin && digits[end - 1] === '0') end--
  if (begin === end) return '0'
  if (exponent !== undefined && exponent.length > maxExponentLength) return undefined
  const shift = BigInt((exponent ?? '0').replaceAll('_', '')) - BigInt(fraction.length) + BigInt(digits.length - end)
  return `${minus}${digits.slice(begin, end)}e${shift}`
}
