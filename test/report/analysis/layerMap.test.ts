import { expect, test } from 'vitest'
import type { AnalysisGroup, AnalysisResults } from '../../../lib/analysis/results.js'
import type { WeightKind } from '../../../lib/checkpoint/weightKind.js'
import { analysisCsv } from '../../../lib/report/analysis/analysisCsv.js'
import { analysisMarkdown } from '../../../lib/report/analysis/analysisMarkdown.js'
import { layerMap } from '../../../lib/report/analysis/layerMap.js'
import { measureSets } from '../../../lib/report/analysis/measures.js'
import { elementsOf, parseXml, textOf } from '../../support/parseXml.js'

/** A group of which only the cosine matters. */
const group = (cosine: number | null): AnalysisGroup => ({
  tensors: 1,
  elements: 10,
  baseNorm: 1,
  experts: {},
  pairs: [
    { experts: ['a', 'b'], product: 0, cosine, bothChanged: 1, opposite: null, oppositeWeight: null, supports: [] },
  ],
  merged: null,
  gradients: null,
})

const cell = (stack: string | null, layer: number | null, kind: WeightKind, cosine: number | null) => ({
  stack,
  layer,
  kind,
  ...group(cosine),
})

const files = (name: string, path = name) => ({
  name,
  path,
  files: [{ name: 'model.safetensors', bytes: 8, headerHash: '0' }],
})

const results: AnalysisResults = {
  format: 'branchmerge analysis',
  version: 1,
  base: files('base', 'a|path<script>'),
  experts: [files('a'), files('b')],
  merged: null,
  gradients: [],
  supports: [],
  leftOut: [{ name: 'ids "x",\n', reason: 'of dtype I64' }],
  total: group(0.25),
  kinds: [
    { kind: 'embedding', ...group(-0.125) },
    { kind: 'gate_up_proj', ...group(0.5) },
    { kind: 'attention bias', ...group(null) },
  ],
  layers: [
    { stack: 'model.layers', layer: 0, ...group(0.4) },
    { stack: 'model.layers', layer: 1, ...group(0.6) },
  ],
  cells: [
    cell(null, null, 'embedding', -0.125),
    cell('model.layers', 0, 'gate_up_proj', 0.4),
    cell('model.layers', 0, 'attention bias', null),
    cell('model.layers', 1, 'gate_up_proj', 0.75),
  ],
  tensors: [{ name: 'odd, "name"', ...cell(null, null, 'embedding', -0.125) }],
}

const map = () => {
  const [alignment] = measureSets(results)
  return layerMap(results, alignment as NonNullable<typeof alignment>)
}

test('a heat map is XML with a row for each layer, the outside and all, and the number of every cell as text', () => {
  const svg = parseXml(map().svg)
  const texts = elementsOf(svg, 'text').map(textOf)
  for (const label of ['0', '1', 'outside', 'all', 'a and b', '0.40', '0.75', '−0.13', '0.25', '–'])
    expect(texts).toContain(label)
  // Kinds that nothing in the model has are left out; long names take two lines.
  expect(texts).not.toContain('q_proj')
  for (const part of ['gate_up_', 'proj', 'attention', 'bias']) expect(texts).toContain(part)
  expect(elementsOf(svg, 'title').map(textOf)).toContain('layer 1, gate_up_proj: 0.75 (10 elements)')
  expect(textOf(elementsOf(svg, 'desc')[0] as never)).toMatch(/equation 6.*a and b: 0\.25 over all tensors\./)
})

test('the lowest and the highest number have the ends of the colours, and nothing fits no colour', () => {
  const cells = elementsOf(parseXml(map().svg), 'g').map((g) => ({
    title: textOf(elementsOf(g, 'title')[0] as never),
    rect: elementsOf(g, 'rect')[0]?.attributes,
  }))
  const fill = (title: string) => cells.find((each) => each.title.startsWith(title))?.rect
  expect(fill('outside of layers, embedding')?.fill).toBe('#410169')
  expect(fill('layer 1, gate_up_proj')?.fill).toBe('#f5ea5c')
  expect(fill('layer 0, attention bias')).toMatchObject({ class: 'blank' })
})

test('names and paths cannot break out of tables', () => {
  const page = analysisMarkdown(results, [map()])
  expect(page).toContain('| base | a\\|path\\<script\\> | 1 | 8 B | 0 |')
  expect(page).toContain('- ids "x",\\\\u{a}: of dtype I64')
  expect(page).toContain('![Alignment of changes by layer and kind of weight](alignment.svg)')
  expect(analysisCsv(results)).toContain('tensor,,,embedding,"odd, ""name""",pair.cosine,a b,,-0.125\n')
})
