import { escapeXml } from '../../text/escapeXml.js'

/** A figure as a document of its own, and as part of a page. */
export interface Figure {
  /** For the file's name. */
  name: string
  title: string
  svg: string
}

/**
 * Okabe and Ito's colours, which people with any colour vision tell apart, without black and the yellow that is lost on
 * white. Every mark also has its name beside it, so they may repeat.
 */
const colours = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c8c8c']

export const colourOf = (i: number): string => colours[i % colours.length] as string

/** Text and ground in light and dark, as in the heat map of a merge. */
export const figureStyle = `
svg.figure text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
svg.figure .ground { fill: #ffffff }
svg.figure .head { font-size: 16px; font-weight: 600 }
svg.figure .quiet { fill: #59636e }
svg.figure .end { text-anchor: end }
svg.figure .middle { text-anchor: middle }
svg.figure .axis { stroke: #59636e; stroke-width: 1 }
svg.figure .grid { stroke: #d1d9e0; stroke-width: 1 }
svg.figure .whisker { stroke: #1f2328; stroke-width: 1.5; fill: none }
svg.figure .blank { fill: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  svg.figure text { fill: #e6edf3 }
  svg.figure .ground { fill: #0d1117 }
  svg.figure .quiet { fill: #9198a1 }
  svg.figure .axis { stroke: #9198a1 }
  svg.figure .grid { stroke: #3d444d }
  svg.figure .whisker { stroke: #e6edf3 }
  svg.figure .blank { fill: #3d444d }
}
`

/** The same input gives the same bytes. All sizes are in pixels at the picture's own scale. */
export function figureOf(
  { name, title, description }: { name: string; title: string; description: string },
  size: { width: number; height: number },
  body: readonly string[],
): Figure {
  const [width, height] = [Math.ceil(size.width), Math.ceil(size.height)]
  const svg = `${[
    `<svg class="figure" xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${name}-title ${name}-description">`,
    `<title id="${name}-title">${escapeXml(title)}</title>`,
    `<desc id="${name}-description">${escapeXml(description)}</desc>`,
    `<style>${figureStyle}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    ...body,
    '</svg>',
  ].join('\n')}\n`
  return { name, title, svg }
}

/** A coordinate with at most two decimals. */
export const at = (value: number): string => String(Math.round(value * 100) / 100)

export const textAt = (x: number, y: number, text: string, look = ''): string =>
  `<text${look === '' ? '' : ` class="${look}"`} x="${at(x)}" y="${at(y)}">${escapeXml(text)}</text>`

/** What stands under the pointer, and is read aloud with the mark. */
export const titled = (title: string, marks: readonly string[]): string =>
  `<g><title>${escapeXml(title)}</title>${marks.join('')}</g>`

/** Steps of an axis from 0 that reach `most`: 1, 2 or 5 times a power of ten, at most six of them. */
export function ticksUpTo(most: number): number[] {
  let power = 1
  while (power * 60 < most) power *= 10
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each * 6 >= most) ?? 10 * power
  return Array.from({ length: Math.max(1, Math.ceil(most / step)) + 1 }, (_, i) => i * step)
}
