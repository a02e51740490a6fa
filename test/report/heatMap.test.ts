import { describe, expect, test } from 'vitest'
import { type ReportInput, stepGrids } from '../../lib/report/fractionGrid.js'
import { heatMapSvg } from '../../lib/report/heatMap.js'
import { heatMapPage } from '../../lib/report/heatMapPage.js'
import { heatMapText } from '../../lib/report/heatMapText.js'
import { elementsOf, parseXml, textOf, type XmlElement } from '../support/parseXml.js'
import { stepOf, tensorOf } from '../support/reportOf.js'

const inputOf = (...steps: ReportInput['steps']): ReportInput => ({ steps, notDrawn: [] })

const classOf = ({ attributes }: XmlElement): string => attributes['class'] ?? ''
/** The cells of the map, without the two of the legend: those have nothing to say under a pointer. */
const cellsIn = (root: XmlElement) =>
  elementsOf(root, 'g').filter((g) => classOf(g) === 'cell' && elementsOf(g, 'title').length > 0)
const cellAt = (root: XmlElement, name: string) => {
  const cell = cellsIn(root).find((each) => textOf(each).includes(name))
  if (!cell) throw new Error(`No cell of ${name}`)
  return cell
}
const labels = (root: XmlElement) => elementsOf(root, 'text').map(textOf)
const numberOf = (element: XmlElement | undefined, name: string) => Number(element?.attributes[name])

describe('grids', () => {
  test('kinds are rows in the order of the model, layers are columns in the order of their numbers', () => {
    const tensors = [11, 2, 0].flatMap((layer) => [
      tensorOf(`model.layers.${layer}.mlp.down_proj.weight`, 100),
      tensorOf(`model.layers.${layer}.self_attn.q_proj.weight`, layer),
    ])
    const { grids, outside } = stepGrids({ name: 's', tensors: tensors.slice(0, 5) })
    expect(outside).toEqual([])
    expect(grids.map(({ stack, layers }) => [stack, layers])).toEqual([['model.layers', [0, 2, 11]]])
    expect(grids[0]?.rows.map(({ kind }) => kind)).toEqual(['q_proj', 'down_proj'])
    expect(grids[0]?.rows.map(({ cells }) => cells.map((cell) => cell?.kept))).toEqual([
      [undefined, 2, 11],
      [100, 100, 100],
    ])
  })

  test('tensors of one kind and layer are summed by elements, not averaged', () => {
    const norms = [
      tensorOf('model.layers.0.input_layernorm.weight', 10, { elements: 100 }),
      tensorOf('model.layers.0.post_attention_layernorm.weight', 30, { elements: 900 }),
    ]
    const [grid] = stepGrids({ name: 's', tensors: norms }).grids
    expect(grid?.rows[0]?.cells[0]).toMatchObject({ elements: 1000, kept: 40, fraction: 0.04 })
  })

  test('identical tensors count in no fraction, whatever the gate took', () => {
    const tensors = [
      tensorOf('model.layers.0.self_attn.q_proj.weight', 1000, { identical: true }),
      tensorOf('model.layers.1.self_attn.q_proj.weight', 100),
    ]
    const { total, grids } = stepGrids({ name: 's', tensors })
    expect(total).toMatchObject({ elements: 1000, kept: 100, fraction: 0.1, identical: 1 })
    expect(grids[0]?.rows[0]?.cells[0]?.fraction).toBeUndefined()
    expect(stepGrids({ name: 's', tensors: tensors.slice(0, 1) }).total.fraction).toBeUndefined()
  })

  test('each stack of layers is a grid of its own', () => {
    const tensors = [tensorOf('visual.blocks.0.attn.proj.weight', 1), tensorOf('model.layers.0.mlp.fc1.weight', 1)]
    expect(stepGrids({ name: 's', tensors }).grids.map(({ stack }) => stack)).toEqual(['visual.blocks', 'model.layers'])
  })
})

describe('the picture', () => {
  test.each([1, 28, 80, 126])(
    'of %i layers is well-formed, and nothing lies outside of it or on its neighbour',
    (layers) => {
      const root = parseXml(heatMapSvg(inputOf(stepOf('left & right', layers))))
      const [width, height] = [numberOf(root, 'width'), numberOf(root, 'height')]
      expect(root.attributes['viewBox']).toBe(`0 0 ${width} ${height}`)
      expect(width).toBeLessThan(1300)
      const cells = cellsIn(root)
      expect(cells).toHaveLength(layers * 6 + 3)
      const rects = cells.map((cell) => elementsOf(cell, 'rect')[0])
      const places = rects.map((rect) => `${rect?.attributes['x']} ${rect?.attributes['y']}`)
      expect(new Set(places).size).toBe(places.length)
      for (const rect of elementsOf(root, 'rect')) {
        expect(numberOf(rect, 'width')).toBeGreaterThanOrEqual(4)
        expect((rect.attributes['x'] ? numberOf(rect, 'x') : 0) + numberOf(rect, 'width')).toBeLessThanOrEqual(width)
        expect((rect.attributes['y'] ? numberOf(rect, 'y') : 0) + numberOf(rect, 'height')).toBeLessThanOrEqual(height)
      }
      const numbers = elementsOf(root, 'text').filter((text) => /^\d+$/.test(textOf(text)))
      const xs = numbers.map((text) => numberOf(text, 'x'))
      for (const [i, x] of xs.entries())
        if (i > 0) expect(x - (xs[i - 1] ?? 0)).toBeGreaterThanOrEqual(layers > 1 ? 13 : 0)
      expect(numbers.map(textOf)).toContain('0')
    },
  )

  test('has a name, a description with the numbers, and labels', () => {
    const root = parseXml(heatMapSvg(inputOf(stepOf('left & right', 5))))
    expect(root.attributes).toMatchObject({ role: 'img', xmlns: 'http://www.w3.org/2000/svg' })
    const [title, description] = (root.attributes['aria-labelledby'] ?? '')
      .split(' ')
      .map(
        (id) => root.children.find((child) => typeof child !== 'string' && child.attributes['id'] === id) as XmlElement,
      )
    expect(textOf(title as XmlElement)).toBe('Fraction of each tensor taken from Right: left & right')
    expect(textOf(description as XmlElement)).toContain(
      'left & right: 13.3 % from Right, 32.0 k weights in 32 tensors that differ, 1 identical. ' +
        'By kind of weight: q_proj 10.2 %, k_proj 12.2 %, v_proj 14.2 %, o_proj 16.2 %, gate_proj 18.2 %, norm 9.0 %, ' +
        'embedding outside of layers 12.0 %, norm outside of layers identical, lm_head outside of layers 15.0 %.',
    )
    expect(labels(root)).toEqual(
      expect.arrayContaining([
        'left & right',
        '13.3 % from Right, 32.0 k weights in 32 tensors that differ, 1 identical',
        'q_proj',
        '10.2 %',
        'outside layers',
        'embedding 12.0 %',
        'norm identical',
        'lm_head 15.0 %',
        'layer',
        '3',
        'all',
        'from Right',
        'identical on both sides',
      ]),
    )
  })

  test('tells name, shape and numbers of a tensor under the pointer', () => {
    const root = parseXml(heatMapSvg(inputOf(stepOf('s', 4))))
    const cell = cellAt(root, 'model.layers.3.self_attn.o_proj.weight')
    expect(textOf(elementsOf(cell, 'title')[0] as XmlElement)).toBe(
      'layer 3, o_proj\nmodel.layers.3.self_attn.o_proj.weight [10, 100]: 16.3 % from Right (163 of 1000)',
    )
  })

  test('of many experts in a cell names four', () => {
    const experts = Array.from({ length: 60 }, (_, i) =>
      tensorOf(`model.layers.0.mlp.experts.${i}.up_proj.weight`, 100, { degenerate: i === 7 }),
    )
    const root = parseXml(heatMapSvg(inputOf({ name: 's', tensors: experts })))
    const lines = textOf(elementsOf(cellAt(root, 'experts.0'), 'title')[0] as XmlElement).split('\n')
    expect(lines).toHaveLength(6)
    expect(lines[0]).toBe('layer 0, up_proj: 10.0 % from Right, 60.0 k weights in 60 tensors that differ, 1 degenerate')
    expect(lines.at(-1)).toBe('and 56 more')
  })

  test('marks degenerate and identical tensors, and only those', () => {
    const tensors = [
      tensorOf('model.layers.0.self_attn.q_proj.weight', 1000, { degenerate: true }),
      tensorOf('model.layers.1.self_attn.q_proj.weight', 1000, { identical: true }),
      tensorOf('model.layers.2.self_attn.q_proj.weight', 120),
    ]
    const root = parseXml(heatMapSvg(inputOf({ name: 's', tensors })))
    const look = (layer: number) => {
      const cell = cellAt(root, `layers.${layer}.`)
      return [...elementsOf(cell, 'path').map(classOf), ...elementsOf(cell, 'rect').map(classOf)]
    }
    expect([look(0), look(1), look(2)]).toEqual([['onlight', ''], ['mark', 'blank'], ['']])
    expect(textOf(cellAt(root, 'layers.0.'))).toContain('degenerate: threshold 0 although it changed')
    expect(labels(root)).toContain('56.0 %')
  })

  test('colours follow the fraction; one that is degenerate or kept whole does not stretch the scale', () => {
    const tensors = [100, 110, 120, 200].map((permille, i) =>
      tensorOf(`model.layers.${i}.self_attn.q_proj.weight`, permille),
    )
    const extreme = tensorOf('model.layers.4.self_attn.q_proj.weight', 1000, { degenerate: true })
    const whole = tensorOf('model.layers.5.self_attn.q_proj.weight', 0, { nonFinite: 'left' })
    const root = parseXml(heatMapSvg(inputOf({ name: 's', tensors: [...tensors, extreme, whole] })))
    const fills = [0, 1, 2, 3, 4].map(
      (layer) => elementsOf(cellAt(root, `layers.${layer}.`), 'rect')[0]?.attributes['fill'],
    )
    expect(fills[0]).toBe('#410169')
    expect(fills[3]).toBe('#f5ea5c')
    expect(fills[4]).toBe(fills[3])
    const luminances = fills.slice(0, 4).map((fill) => luminance(fill as string))
    expect(luminances).toEqual(luminances.toSorted((a, b) => a - b))
    expect(new Set(fills).size).toBe(4)
    expect(labels(root)).toEqual(expect.arrayContaining(['10 %', '12 %', '20 %']))
  })

  test('one scale serves all steps, and steps that cannot be drawn are named', () => {
    const quiet = { name: 'first', tensors: [tensorOf('model.layers.0.mlp.up_proj.weight', 100)] }
    const loud = { name: 'second', tensors: [tensorOf('model.layers.0.mlp.up_proj.weight', 900)] }
    const root = parseXml(heatMapSvg({ steps: [quiet, loud], notDrawn: ['third (ties) & more'] }))
    const fills = cellsIn(root).map((cell) => elementsOf(cell, 'rect')[0]?.attributes['fill'])
    expect(fills[0]).not.toBe(fills[1])
    expect(labels(root)).toEqual(expect.arrayContaining(['first', 'second', 'third (ties) & more']))
  })

  test('has colours for a dark ground', () => {
    const style = textOf(elementsOf(parseXml(heatMapSvg(inputOf(stepOf('s', 2)))), 'style')[0] as XmlElement)
    expect(style).toMatch(/@media \(prefers-color-scheme: dark\) \{[^@]*\.ground \{ fill: #0d1117 \}/)
  })

  test('of nothing but identical tensors, or of tensors outside of layers, is a picture too', () => {
    const identical = tensorOf('model.layers.0.mlp.up_proj.weight', 0, { identical: true })
    const root = parseXml(
      heatMapSvg(inputOf({ name: 's', tensors: [identical] }, { name: 't', tensors: [tensorOf('w', 5)] })),
    )
    expect(labels(root)).toEqual(
      expect.arrayContaining(['nothing differs, 0 weights in 0 tensors that differ, 1 identical']),
    )
    expect(cellsIn(root)).toHaveLength(2)
  })
})

/** Names as a hostile file might have them: markup, entities, controls, directions, halves of pairs, non-characters. */
const hostile = [
  '</title><script>alert(1)</script>',
  '"/><image href="x"/>&amp;&lt;',
  ']]><!-- \u0000\u0007\u001b[31m',
  '\u202ereversed\u2028\ufeff',
  '\ud800 half \udc00',
  '\ufffe\uffff',
  'long'.repeat(5000),
]

test('hostile names stay text, in the picture, on the page and in the terminal', () => {
  for (const name of hostile) {
    const tensors = [tensorOf(`model.layers.0.${name}`, 10), tensorOf(`${name}.layers.7.x`, 10), tensorOf(name, 10)]
    const input = { steps: [{ name, tensors }], notDrawn: [name] }
    const svg = heatMapSvg(input)
    const root = parseXml(svg)
    expect([elementsOf(root, 'script').length, elementsOf(root, 'image').length]).toEqual([0, 0])
    expect(svg.length).toBeLessThan(60_000)
    const page = heatMapPage(input)
    for (const part of ['<script', '<image', '\ufffe', '\u0000', '\u202e']) expect(page).not.toContain(part)
    // Controls, other than the line feeds of the layout, would let a name rewrite the terminal.
    expect(heatMapText(input)).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}]/u)
  }
})

test('the same input gives the same text, and it does not change its input', () => {
  const input = inputOf(stepOf('left & right', 28))
  const copy = structuredClone(input)
  const first = [heatMapSvg(input), heatMapPage(input), heatMapText(input)]
  expect([heatMapSvg(copy), heatMapPage(copy), heatMapText(copy)]).toEqual(first)
  expect(input).toEqual(copy)
})

test('the page holds the picture, and every number in a table', () => {
  const input = inputOf(stepOf('left & right', 28))
  const page = heatMapPage(input)
  const body = parseXml(page.slice(page.indexOf('<body>'), page.indexOf('</html>')))
  expect(elementsOf(body, 'svg')).toHaveLength(1)
  const [grid, outside] = elementsOf(body, 'table') as [XmlElement, XmlElement]
  const rows = elementsOf(grid, 'tr').map((row) => row.children.map((cell) => textOf(cell as XmlElement)))
  expect(rows).toHaveLength(30)
  expect(rows[0]).toEqual(['layer', 'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'norm'])
  expect(rows[4]).toEqual(['3', '10.3 %', '12.3 %', '14.3 %', '16.3 %', '18.3 %', '9.0 %'])
  expect(rows.at(-1)?.[0]).toBe('all')
  expect(textOf(outside)).toContain('embedding12.0 %')
})

describe('the text', () => {
  test('has one block for each layer, marks and totals', () => {
    const tensors = [
      tensorOf('model.layers.0.mlp.up_proj.weight', 100),
      tensorOf('model.layers.1.mlp.up_proj.weight', 150),
      tensorOf('model.layers.2.mlp.up_proj.weight', 200),
      tensorOf('model.layers.3.mlp.up_proj.weight', 990, { degenerate: true }),
      tensorOf('model.layers.4.mlp.up_proj.weight', 1000, { identical: true }),
      tensorOf('model.layers.4.mlp.down_proj.weight', 200),
      tensorOf('lm_head.weight', 150),
    ]
    expect(heatMapText(inputOf({ name: 'a & b', tensors }))).toBe(
      [
        'a & b: 29.8 % from Right, 6000 weights in 6 tensors that differ, 1 degenerate, 1 identical',
        '',
        'layer      0',
        'up_proj    ▁▅█×=     36.0 %',
        'down_proj      █     20.0 %',
        '',
        'outside of layers: lm_head ▅ 15.0 %',
        '',
        '▁ 10 % to █ 20 % from Right   × degenerate: threshold 0 although it changed; may lie beyond the scale   ' +
          '= identical on both sides',
        '',
      ].join('\n'),
    )
  })

  test('continues below where the terminal is narrow', () => {
    const text = heatMapText(inputOf(stepOf('s', 80)), 60)
    const grid = text.split('\n\n')[1] as string
    const lines = grid.split('\n')
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60)
    const row = lines.filter((line) => line.startsWith('q_proj')).map((line) => line.replace(/q_proj +| {2}.*%$/g, ''))
    expect(row).toHaveLength(3)
    expect(row.join('')).toHaveLength(80)
  })
})

/** Relative luminance of WCAG. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
