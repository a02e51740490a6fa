import { escapeXml } from '../text/escapeXml.js'
import type { TrainingMetrics } from './trainingMetrics.js'

const [width, height] = [880, 460]
const [left, right, top, bottom] = [64, 20, 44, 52]
const [plotWidth, plotHeight] = [width - left - right, height - top - bottom]
/** More points than pixels are drawn as what they span in each. */
const maxPoints = 2 * plotWidth

const colours = { raw: '#9db7d5', smooth: '#1f5fa8', validation: '#c2410c', axis: '#475569', grid: '#e2e8f0' }

interface Point {
  x: number
  y: number
}

/** The loss of each step, the same smoothed, and validation losses, as a picture on its own: an SVG of 880 × 460. */
export function lossCurveSvg({ steps, validations }: TrainingMetrics, title: string): string {
  const raw = steps.flatMap(({ step, loss }) => (Number.isFinite(loss) && loss !== null ? [{ x: step, y: loss }] : []))
  const smooth = smoothed(raw)
  const checks = validations.flatMap(({ step, loss }) =>
    Number.isFinite(loss) && loss !== null ? [{ x: step, y: loss }] : [],
  )
  const axes = axesOf([...raw, ...checks])
  const { toX, toY } = axes
  const path = (points: readonly Point[]) =>
    thinned(points)
      .map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${toX(x)} ${toY(y)}`)
      .join('')
  const line = (points: readonly Point[], colour: string, stroke: number) =>
    points.length === 0
      ? []
      : [`<path d="${path(points)}" fill="none" stroke="${colour}" stroke-width="${stroke}" stroke-linejoin="round"/>`]
  const entries: [string, string, boolean][] = [
    ['loss of a step', colours.raw, raw.length > 0],
    ['smoothed', colours.smooth, raw.length > 0],
    ['validation', colours.validation, checks.length > 0],
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${left}" y="26" font-size="15" font-weight="600" fill="#0f172a">${escapeXml(title)}</text>`,
    ...legend(entries.filter(([, , shown]) => shown)),
    ...axes.marks,
    ...line(raw, colours.raw, 1),
    ...line(smooth, colours.smooth, 2),
    ...(checks.length > 1 ? line(checks, colours.validation, 1.5) : []),
    ...checks.map(({ x, y }) => `<circle cx="${toX(x)}" cy="${toY(y)}" r="3.5" fill="${colours.validation}"/>`),
    '</svg>',
    '',
  ].join('\n')
}

/**
 * The mean of the exponential means from both ends, each with a memory of a thirtieth of the curve and without the pull of
 * its beginning: it does not lag behind.
 */
export function smoothed(points: readonly Point[]): Point[] {
  const losses = points.map(({ y }) => y)
  const forwards = exponentialMeans(losses)
  const backwards = exponentialMeans(losses.toReversed()).toReversed()
  return points.map(({ x }, i) => ({ x, y: ((forwards[i] as number) + (backwards[i] as number)) / 2 }))
}

function exponentialMeans(values: readonly number[]): number[] {
  const weight = 1 - 1 / Math.max(1, values.length / 30)
  let [sum, norm] = [0, 0]
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value
    norm = weight * norm + (1 - weight)
    return sum / norm
  })
}

/** Where there are more points than can be seen, the least and the greatest of each stretch. */
function thinned(points: readonly Point[]): readonly Point[] {
  if (points.length <= maxPoints) return points
  const size = Math.ceil((2 * points.length) / maxPoints)
  const shown: Point[] = []
  for (let i = 0; i < points.length; i += size) {
    const stretch = points.slice(i, i + size)
    const least = stretch.reduce((a, b) => (b.y < a.y ? b : a))
    const greatest = stretch.reduce((a, b) => (b.y > a.y ? b : a))
    shown.push(...(least === greatest ? [least] : [least, greatest].sort((a, b) => a.x - b.x)))
  }
  return shown
}

function axesOf(points: readonly Point[]) {
  const steps = points.map(({ x }) => x)
  const losses = points.map(({ y }) => y)
  const most = (values: number[], fallback: number) => values.reduce((a, b) => Math.max(a, b), fallback)
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const x = { low: 0, high: Math.max(1, most(steps, 1)) }
  const [low, high] = losses.length > 0 ? [least(losses), most(losses, Number.NEGATIVE_INFINITY)] : [0, 1]
  const spacing = niceSpacing(high - low || Math.abs(high) || 1, 6)
  const y = { low: Math.floor(low / spacing) * spacing, high: Math.ceil(high / spacing) * spacing }
  if (y.low === y.high) y.high += spacing
  const toX = (value: number) => rounded(left + (plotWidth * (value - x.low)) / (x.high - x.low))
  const toY = (value: number) => rounded(top + plotHeight * (1 - (value - y.low) / (y.high - y.low)))
  const base = top + plotHeight
  const label = (text: string, at: string) => `<text ${at} fill="${colours.axis}">${text}</text>`
  const marks = [
    ...ticks(y, spacing).flatMap((value) => [
      `<line x1="${left}" x2="${left + plotWidth}" y1="${toY(value)}" y2="${toY(value)}" stroke="${colours.grid}"/>`,
      label(tickText(value, spacing), `x="${left - 8}" y="${toY(value) + 4}" text-anchor="end"`),
    ]),
    ...ticks(x, Math.max(1, niceSpacing(x.high, 8))).flatMap((value) => [
      `<line x1="${toX(value)}" x2="${toX(value)}" y1="${base}" y2="${base + 5}" stroke="${colours.axis}"/>`,
      label(String(value), `x="${toX(value)}" y="${base + 20}" text-anchor="middle"`),
    ]),
    `<path d="M${left} ${top}V${base}H${left + plotWidth}" fill="none" stroke="${colours.axis}"/>`,
    label('step', `x="${left + plotWidth / 2}" y="${height - 12}" text-anchor="middle"`),
    label(
      'loss',
      `x="16" y="${top + plotHeight / 2}" text-anchor="middle" transform="rotate(-90 16 ${top + plotHeight / 2})"`,
    ),
  ]
  return { toX, toY, marks }
}

/** 1, 2 or 5 times a power of ten that gives at most so many intervals. */
function niceSpacing(span: number, intervals: number): number {
  const raw = span / intervals
  const power = 10 ** Math.floor(Math.log10(raw))
  return power * ([1, 2, 5].find((factor) => factor * power >= raw * 0.999) ?? 10)
}

function ticks({ low, high }: { low: number; high: number }, spacing: number): number[] {
  const count = Math.floor((high - low) / spacing + 1e-6)
  return Array.from({ length: count + 1 }, (_, i) => low + i * spacing)
}

const tickText = (value: number, spacing: number): string =>
  value.toFixed(Math.max(0, -Math.floor(Math.log10(spacing) + 1e-9)))

const rounded = (value: number): number => Math.round(value * 100) / 100

function legend(entries: readonly [text: string, colour: string, shown: boolean][]): string[] {
  const widths = entries.map(([text]) => 30 + 6.5 * text.length + 18)
  const begin = left + plotWidth - widths.reduce((total, each) => total + each, 0) + 18
  return entries.flatMap(([text, colour], i) => {
    const x = rounded(begin + widths.slice(0, i).reduce((total, each) => total + each, 0))
    return [
      `<line x1="${x}" x2="${x + 22}" y1="22" y2="22" stroke="${colour}" stroke-width="3"/>`,
      `<text x="${x + 28}" y="26" fill="${colours.axis}">${text}</text>`,
    ]
  })
}
