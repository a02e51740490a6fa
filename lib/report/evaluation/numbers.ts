import type { Difference, Interval, Score } from '../../evaluate/analysis/results.js'

/** A share in percent, with one decimal and without its sign: '78.1'. */
export const percent = (share: number): string => fixed(share * 100)

export const percentInterval = ([low, high]: Interval): string => `[${percent(low)}, ${percent(high)}]`

/** A difference of shares in percentage points: '+5.5'. */
export const points = (difference: number): string => {
  const text = fixed(difference * 100)
  return text === '0.0' || text.startsWith('-') ? text : `+${text}`
}

/** One decimal, and no −0. */
function fixed(value: number): string {
  const text = value.toFixed(1)
  return text === '-0.0' ? '0.0' : text
}

/** '<0.001' for what three decimals would show as none. */
export const pText = (p: number): string => (p < 0.001 ? '<0.001' : p.toFixed(3))

export const scoreText = ({ passAt1, interval }: Score): string => `${percent(passAt1)} ${percentInterval(interval)}`

export const differenceText = ({ delta, interval, noise }: Difference): string =>
  `${points(delta)} ${percentInterval(interval)}${noise ? ' noise' : ''}`

/** '30 × 16': questions and trials of each. */
export const sizeText = ({ questions, trials }: Score): string =>
  `${questions} × ${typeof trials === 'number' ? trials : trials.join('–')}`

/** '12,345'. */
export const wholeText = (count: number): string =>
  Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
