const numberWords: Readonly<Record<string, number>> = {
  zero: 0,
  one: 1,
  two: 2,
  three: 3,
  four: 4,
  five: 5,
  six: 6,
  seven: 7,
  eight: 8,
  nine: 9,
  ten: 10,
  eleven: 11,
  twelve: 12,
  thirteen: 13,
  fourteen: 14,
  fifteen: 15,
  sixteen: 16,
  seventeen: 17,
  eighteen: 18,
  nineteen: 19,
  twenty: 20,
  thirty: 30,
  forty: 40,
  fifty: 50,
  sixty: 60,
  seventy: 70,
  eighty: 80,
  ninety: 90,
}
const tens =
  /^(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[- ](one|two|three|four|five|six|seven|eight|nine)$/

/** `twelve` and `thirty-seven` as numbers; undefined for other words. */
export function numberOfWords(text: string): number | undefined {
  const words = text.trim().toLowerCase()
  const parts = tens.exec(words)
  if (parts) return (numberWords[parts[1] as string] as number) + (numberWords[parts[2] as string] as number)
  return numberWords[words]
}

const synonyms: Readonly<Record<string, string>> = {
  y: 'yes',
  n: 'no',
  t: 'true',
  f: 'false',
  dne: 'does not exist',
  'infinitely many solutions': 'infinitely many',
}

/** Words as they are compared: no case, no punctuation, no commands, single spaces, no article. */
export function normaliseWords(text: string): string {
  const words = text
    .toLowerCase()
    .replace(
      /\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|boxed|operatorname)(?![a-z])|\\[,;:! ]|[${}~]|\\q?quad/g,
      ' ',
    )
    .replace(/(?<=\d),(?=\d{3}(?!\d))/g, '')
    .replace(/[^a-z0-9.:+\-*/^=<>\\]+/g, ' ')
    .replace(/\.(?!\d)/g, ' ')
    .replace(/(?<=[a-z])-(?=[a-z])/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^(?:the|a|an|option|choice|answer) (?=.)/, '')
  return words
}

/** Whether words name the empty set. */
export const saysEmpty = (text: string): boolean =>
  /^(?:empty set|null set|no (?:real )?solutions?)$/.test(normaliseWords(text))

/** The names of a list in words, in the order of the alphabet; undefined for what is no such list. */
function namesOf(text: string): string | undefined {
  const names = text.split(/,|\band\b/).map(normaliseWords)
  const isList = names.length > 1 && names.every((name) => /^[a-z]{2,}(?: [a-z]+)*$/.test(name))
  return isList ? names.sort().join(', ') : undefined
}

const sameNames = (a: string, b: string): boolean => {
  const names = namesOf(a)
  return names !== undefined && names === namesOf(b)
}

/** Whether two texts say the same words. */
export function sameWords(a: string, b: string): boolean {
  const [x, y] = [normaliseWords(a), normaliseWords(b)]
  if (x === '' || y === '') return false
  return x === y || joined(x) === joined(y) || sameNames(a, b) || (synonyms[x] ?? x) === (synonyms[y] ?? y)
}

/** Without spaces, but for those that part numbers. */
const joined = (words: string): string => words.replace(/ (?!\d)|(?<!\d) /g, '')

const parts: Readonly<Record<string, number>> = {
  half: 2,
  third: 3,
  quarter: 4,
  fourth: 4,
  fifth: 5,
  sixth: 6,
  eighth: 8,
  tenth: 10,
}
const fraction = /^(?:([a-z]+)[- ])?(half|halve|third|quarter|fourth|fifth|sixth|eighth|tenth)(s?)$/

const powersOfTen: Readonly<Record<string, string>> = {
  hundred: '00',
  thousand: '000',
  million: '000000',
  billion: '000000000',
}

/** `two thousand` in digits; undefined for other words. */
export function roundNumberOfWords(text: string): string | undefined {
  const [, count = '', power = ''] = /^([a-z]+)[- ](hundred|thousand|million|billion)$/.exec(text) ?? []
  const digits = numberWords[count]
  return digits === undefined ? undefined : `${digits}${powersOfTen[power]}`
}

/** `one half` and `two thirds` as fractions; undefined for other words. */
export function fractionOfWords(text: string): string | undefined {
  const found = fraction.exec(text)
  const numerator = found && (found[1] === undefined ? 1 : numberWords[found[1]])
  // "Third" and "fifth" alone are places.
  if (!found || !numerator || (found[1] === undefined && found[2] !== 'half')) return undefined
  return `\\frac{${numerator}}{${parts[found[2] === 'halve' ? 'half' : (found[2] as string)]}}`
}

const time = /^(\d{1,2}):(\d{2})(?: ([ap]) ?m)?$/

/** Whether two times of day are the same, and one of them says which half of the day it is in; undefined for what is no time. */
export function sameTimes(a: string, b: string): boolean | undefined {
  const [x, y] = [a, b].map((text) => time.exec(normaliseWords(text)))
  if (!x || !y || (x[3] === undefined && y[3] === undefined)) return undefined
  const hoursOf = ([, hours, , half]: RegExpExecArray): number[] => {
    const hour = Number(hours) % 12
    return half === undefined && Number(hours) > 12
      ? [hour + 12]
      : half === 'a'
        ? [hour]
        : half === 'p'
          ? [hour + 12]
          : [hour, hour + 12]
  }
  return x[2] === y[2] && hoursOf(x).some((hour) => hoursOf(y).includes(hour))
}

const choiceLetters = /^[A-J](?:(?:[\s,;&]|and)*[A-J])+$/

/** The letters of several choices, `ABD` and `A, B and D`; undefined for anything else. */
export function readChoices(text: string): string | undefined {
  const plain = plainLetters(text).replace(/[()]/g, '')
  if (plain.length > 60 || !choiceLetters.test(plain)) return undefined
  const letters = plain.match(/[A-J]/g) ?? []
  return new Set(letters).size === letters.length ? letters.join('') : undefined
}

const plainLetters = (text: string): string =>
  text
    .slice(0, 400)
    .replace(/\\(?:text|textbf|mathrm|mathbf|mbox|textrm)\s*\{([^{}]*)\}/g, '$1')
    .replace(/\\[ ,;:!]|\\q?quad|[$~]/g, ' ')
    .trim()

const choiceLetter = /^\(?\s*([A-J])\s*\)?(?:\s*[.:)]\s*|\s+(?=\S)|$)(.*)$/s

/** A choice's letter and what stands after it: `(C) 12`, `C.`, `\textbf{(C)}\ 12`. */
export function readChoice(text: string): { letter: string; rest: string } | undefined {
  const plain = plainLetters(text)
  const found = choiceLetter.exec(plain)
  if (!found) return undefined
  const rest = (found[2] as string).trim()
  const marked = /^\(|^[A-J]\s*[).:]/.test(plain)
  return rest === '' || marked ? { letter: found[1] as string, rest } : undefined
}
