import { describe, expect, test } from 'vitest'
import { lossCurveSvg, smoothed } from '../../lib/train/lossCurve.js'
import type { TrainingMetrics } from '../../lib/train/trainingMetrics.js'
import { parseXml } from '../support/parseXml.js'

const metrics = (losses: (number | null)[], validations: { step: number; loss: number }[] = []) =>
  ({ steps: losses.map((loss, i) => ({ step: i + 1, loss })), validations }) as unknown as TrainingMetrics

/** Coordinates of a path of lines. */
const pointsOf = (d: string): [number, number][] =>
  d
    .slice(1)
    .split('L')
    .map((pair) => pair.split(' ').map(Number) as [number, number])

const curves = (svg: string, colour: string): [number, number][][] =>
  [...svg.matchAll(/<path d="(M[^"]*)" fill="none" stroke="(#\w+)"/g)].flatMap(([, d, stroke]) =>
    stroke === colour ? [pointsOf(d as string)] : [],
  )
const [raw, smooth, validation] = ['#9db7d5', '#1f5fa8', '#c2410c']
const plot = { left: 64, right: 860, top: 44, bottom: 408 }

describe('the loss curve', () => {
  test('is well-formed, and says what it shows, whatever the name', () => {
    const svg = lossCurveSvg(metrics([3, 2, 1], [{ step: 2, loss: 2.5 }]), 'Loss of <"a&b">')
    expect(parseXml(svg).name).toBe('svg')
    for (const text of ['Loss of &lt;&quot;a&amp;b&quot;&gt;', 'loss of a step', 'smoothed', 'validation', 'step']) {
      expect(svg).toContain(text)
    }
  })

  test('draws every step at its place', () => {
    const losses = [4, 3.5, 3, 2.5, 2]
    const [points] = curves(lossCurveSvg(metrics(losses), 't'), raw) as [[number, number][]]
    expect(points).toHaveLength(5)
    const [first, last] = [points[0], points.at(-1)] as [[number, number], [number, number]]
    // Steps from 0 to 5 over the width, losses from 2 to 4 over the height.
    expect(first[0]).toBeCloseTo(plot.left + (plot.right - plot.left) / 5, 1)
    expect(last).toEqual([plot.right, plot.bottom])
    expect(first[1]).toBe(plot.top)
  })

  test('stays in its frame and is thinned to what can be seen, extremes kept', () => {
    const losses = Array.from({ length: 50_000 }, (_, i) => (i === 31_415 ? 9 : 2 + Math.sin(i)))
    const svg = lossCurveSvg(metrics(losses), 't')
    const [points] = curves(svg, raw) as [[number, number][]]
    expect(points.length).toBeLessThan(3300)
    for (const [x, y] of points) {
      expect(x).toBeGreaterThanOrEqual(plot.left)
      expect(x).toBeLessThanOrEqual(plot.right)
      expect(y).toBeGreaterThanOrEqual(plot.top)
      expect(y).toBeLessThanOrEqual(plot.bottom)
    }
    const highest = points.reduce((a, b) => (b[1] < a[1] ? b : a))
    expect(highest[0]).toBeCloseTo(plot.left + ((plot.right - plot.left) * 31_416) / 50_000, 0)
    expect(svg.length).toBeLessThan(200_000)
  })

  test('a point for each validation, joined when there are several', () => {
    const one = lossCurveSvg(metrics([3, 2, 1], [{ step: 2, loss: 2.2 }]), 't')
    expect([one.match(/<circle/g)?.length, curves(one, validation).length]).toEqual([1, 0])
    const two = lossCurveSvg(
      metrics(
        [3, 2, 1],
        [
          { step: 1, loss: 3 },
          { step: 3, loss: 1.5 },
        ],
      ),
      't',
    )
    expect([two.match(/<circle/g)?.length, curves(two, validation)[0]?.length]).toEqual([2, 2])
  })

  test.each([[[]], [[null]], [[2]], [[0, 0, 0]], [[5, null, 5]]])('of the losses %j is a picture, too', (losses) => {
    const svg = lossCurveSvg(metrics(losses), 't')
    expect(parseXml(svg).name).toBe('svg')
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })
})

describe('smoothing', () => {
  const points = (values: number[]) => values.map((y, x) => ({ x, y }))

  test('keeps a constant and does not lag behind a line', () => {
    expect(smoothed(points(Array(100).fill(2))).map(({ y }) => y)).toEqual(Array(100).fill(expect.closeTo(2, 12)))
    const line = smoothed(points(Array.from({ length: 300 }, (_, i) => i)))
    expect(line[150]?.y).toBeCloseTo(150, 0)
  })

  test('is the mean of the exponential means from both ends', () => {
    const values = Array.from({ length: 90 }, (_, i) => Math.sin(i * 1.7) + i / 30)
    // The definition: weights 1, w, w², … back from the point, and on from it, with w = 1 − 1/(n/30).
    const w = 1 - 30 / values.length
    const mean = (of: number[]) => {
      const weights = of.map((_, k) => w ** k)
      const sum = weights.reduce((total, each) => total + each, 0)
      return of.reduce((total, value, k) => total + value * (weights[k] as number), 0) / sum
    }
    const expected = values.map((_, i) => (mean(values.slice(0, i + 1).reverse()) + mean(values.slice(i))) / 2)
    for (const [i, { y }] of smoothed(points(values)).entries()) expect(y).toBeCloseTo(expected[i] as number, 10)
  })

  test('of few points is the points', () => {
    expect(smoothed(points([3, 1, 2])).map(({ y }) => y)).toEqual([3, 1, 2])
  })

  test('draws the smooth curve over the raw one', () => {
    const svg = lossCurveSvg(metrics(Array.from({ length: 60 }, (_, i) => 3 - i / 30)), 't')
    expect(svg.indexOf(`stroke="${smooth}" stroke-width="2"`)).toBeGreaterThan(
      svg.indexOf(`stroke="${raw}" stroke-width="1"`),
    )
  })
})
