import { divide, multiply, parseDecimal, type Rational, rational } from './rational.js'

/** What a unit measures and how many of the base unit it is. */
export interface Unit {
  dimension: string
  scale: Rational
}

/** `name=scale dimension`, several names by `|`. Money of different currencies has different dimensions. */
const table = `
mm|millimeter|millimetre=0.001 m
cm|centimeter|centimetre=0.01 m
dm|decimeter|decimetre=0.1 m
m|meter|metre=1 m
km|kilometer|kilometre=1000 m
nm|nanometer|nanometre=0.000000001 m
in|inch|inches=0.0254 m
ft|foot|feet=0.3048 m
yd|yard=0.9144 m
mi|mile=1609.344 m
mg|milligram=0.001 g
g|gram|gm=1 g
kg|kilogram=1000 g
t|ton|tonne=1000000 g
lb|lbs|pound=453.59237 g
oz|ounce=28.349523125 g
s|sec|second=1 s
ms|millisecond=0.001 s
min|mins|minute=60 s
h|hr|hrs|hour=3600 s
day=86400 s
week=604800 s
month=1 month
yr|year=12 month
l|liter|litre=1 L
ml|milliliter|millilitre=0.001 L
gallon|gal=1 gallon
quart|qt=0.25 gallon
pint=0.125 gallon
cup=0.0625 gallon
dollar|usd|buck=1 dollar
cent|penny|pennies=0.01 dollar
euro|eur=1 euro
yuan|rmb=1 yuan
rupee=1 rupee
degree|deg=1 degree
radian|rad=1 radian
hz|hertz=1 hertz
n|newton=1 newton
j|joule=1 joule
w|watt=1 watt
v|volt=1 volt
pa|pascal=1 pascal
k|kelvin=1 kelvin
mol|mole=1 mole
percent|percentage|pct=1 percent
unit|u=1 unit
point=1 point
`

const units: ReadonlyMap<string, Unit> = new Map(
  table
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [names = '', value = ''] = line.split('=')
      const [scale = '1', dimension = ''] = value.split(' ')
      const unit = { dimension, scale: parseDecimal(scale) }
      return names.split('|').map((name) => [name, unit] as const)
    }),
)

/** Names that are read as units after a number without being marked as text; single letters are variables. */
export function isUnitName(word: string): boolean {
  return (
    (word.length > 1 && word in speeds) ||
    (word.length > 1 && !['in', 'pi', 'mi'].includes(word) && baseUnit(word) !== undefined)
  )
}

function baseUnit(word: string): Unit | undefined {
  const lower = word.toLowerCase()
  return units.get(lower) ?? (lower.endsWith('s') ? units.get(lower.slice(0, -1)) : undefined)
}

const powers: Readonly<Record<string, number>> = { square: 2, squared: 2, sq: 2, cubic: 3, cubed: 3, cu: 3 }
const speeds: Readonly<Record<string, string>> = { mph: 'mile / hour', kph: 'km / hour', kmh: 'km / hour' }
const fillers = new Set([
  'of',
  'a',
  'an',
  'the',
  'each',
  'total',
  'in',
  'long',
  'wide',
  'away',
  'apart',
  'whole',
  'exactly',
])

/** The words of a unit: `square miles per hour` as [['mile', 2], ['hour', -1]]. */
function factorsOf(text: string): [string, number][] {
  const words =
    text
      .toLowerCase()
      .replace(/\b(?:mph|kph|kmh)\b/g, (name) => speeds[name] as string)
      .match(/[a-z]+|\/|-?\d+/g) ?? []
  const factors: [string, number][] = []
  let sign = 1
  let power = 1
  for (const word of words) {
    const last = factors.at(-1)
    if (word === 'per' || word === '/') sign = -1
    else if (powers[word] !== undefined && word.endsWith('ed') && last) last[1] *= powers[word]
    else if (powers[word] !== undefined) power = powers[word]
    else if (/^-?\d+$/.test(word) && last) last[1] *= Number(word)
    else if (!fillers.has(word)) {
      factors.push([word, sign * power])
      power = 1
    }
  }
  return factors
}

const singular = (word: string): string => (word.length > 3 && word.endsWith('s') ? word.slice(0, -1) : word)

/**
 * What a unit's text says: a dimension with a scale where all its words are known units, else the words themselves. A text
 * without words is no unit.
 */
export function readUnit(text: string): Unit | undefined {
  let scale = rational(1n)
  const powersOf = new Map<string, number>()
  for (const [word, power] of factorsOf(text)) {
    const known = baseUnit(word) ?? { dimension: `"${singular(word)}"`, scale: rational(1n) }
    powersOf.set(known.dimension, (powersOf.get(known.dimension) ?? 0) + power)
    for (let i = 0; i < Math.min(Math.abs(power), 6); i++) {
      scale = power > 0 ? multiply(scale, known.scale) : divide(scale, known.scale)
    }
  }
  // "Units" name no particular thing, whatever their power.
  powersOf.delete('unit')
  const dimension = [...powersOf]
    .filter(([, power]) => power !== 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, power]) => `${name}^${power}`)
    .join(' ')
  return dimension === '' ? undefined : { dimension, scale }
}

/** Whether a unit is made of known units alone. */
export const isKnown = ({ dimension }: Unit): boolean => !dimension.includes('"')
