import type { Cell } from './fractionGrid.js'

/**
 * From violet over blue and green to yellow: eight equal steps of OKLCH lightness from 0.30 to 0.92 while the hue turns from
 * 305° to 105°, with the most chroma that sRGB holds there (0.16 at most). Lightness alone tells the order, so it reads
 * without colour vision and in grey.
 */
const stops = [0x410169, 0x372d93, 0x0355a6, 0x00779e, 0x0195a1, 0x06b39d, 0x48d084, 0xa8e069, 0xf5ea5c]

const channels = [16, 8, 0]

/** Colour of a place on the scale, 0 to 1: '#rrggbb'. Only + − × ÷ and rounding, so it is the same everywhere. */
export function colourAt(place: number): string {
  const position = Math.min(1, Math.max(0, place)) * (stops.length - 1)
  const first = Math.min(stops.length - 2, Math.floor(position))
  const [from, to] = [stops[first] as number, stops[first + 1] as number]
  const mixed = channels.map((shift) => {
    const [a, b] = [(from >> shift) & 255, (to >> shift) & 255]
    return Math.round(a + (b - a) * (position - first))
  })
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`
}

/** Whether dark marks are seen better than light ones at that place: from the middle on, lightness is above 0.6. */
export const isLight = (place: number): boolean => place >= 0.5

/** The fractions that a scale spans, in percent. */
export interface Domain {
  low: number
  high: number
  /** Between two labels. */
  step: number
}

/** Fewer percentage points would show chance as structure. */
const leastSpan = 5
const mostSteps = 5

/**
 * The range of the cells' fractions, widened to round numbers. Degenerate tensors and those kept whole do not count: they
 * would be 100 % (or 0 %) and leave one colour for all others.
 */
export function domainOf(cells: Cell[]): Domain {
  const percents = cells.flatMap(({ fraction, degenerate, nonFinite }) =>
    fraction === undefined || degenerate + nonFinite > 0 ? [] : [fraction * 100],
  )
  if (percents.length === 0) return { low: 0, high: 100, step: 20 }
  const { least, most } = widened(
    percents.reduce((a, b) => Math.min(a, b)),
    percents.reduce((a, b) => Math.max(a, b)),
  )
  const candidates = [1, 2, 5, 10, 20].map((step) => ({
    low: Math.floor(least / step) * step,
    high: Math.ceil(most / step) * step,
    step,
  }))
  return candidates.find(({ low, high, step }) => high - low <= mostSteps * step) ?? { low: 0, high: 100, step: 20 }
}

function widened(least: number, most: number): { least: number; most: number } {
  if (most - least >= leastSpan) return { least, most }
  const low = Math.min(100 - leastSpan, Math.max(0, Math.floor((least + most - leastSpan) / 2)))
  return { least: low, most: Math.max(most, low + leastSpan) }
}

/** Where a fraction lies on the scale; outside of it, at its end. */
export const placeOf = (fraction: number, { low, high }: Domain): number =>
  Math.min(1, Math.max(0, (fraction * 100 - low) / (high - low)))
