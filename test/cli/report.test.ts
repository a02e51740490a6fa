import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fileNames } from '../support/directoryContents.js'
import { writeExperts } from '../support/experts.js'
import { elementsOf, parseXml, textOf } from '../support/parseXml.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, writeCheckpoint } from '../support/writeCheckpoint.js'

const frozen = 'model.norm.weight'
const hardlyTrained = 'model.layers.1.mlp.up_proj.weight'

/** A fusion of which one tensor is identical and one, changed in few places, degenerate. */
async function fused() {
  const directory = temporaryDirectory()
  const base = drawModel()
  const left = fineTune(base, { seed: 2, frozen: [frozen, hardlyTrained] })
  const right = fineTune(base, { seed: 3, frozen: [frozen, hardlyTrained] })
  const tensor = right.get(hardlyTrained) as NonNullable<ReturnType<typeof right.get>>
  const data = Uint8Array.from(tensor.data)
  data[0] = (data[0] as number) ^ 1
  right.set(hardlyTrained, { ...tensor, data })
  const paths = [
    writeCheckpoint(join(directory, 'left'), { tensors: left }),
    writeCheckpoint(join(directory, 'right'), { tensors: right }),
  ]
  const [out, stats] = [join(directory, 'out'), join(directory, 'stats.jsonl')]
  const { code, stdout } = await runCommand(['fuse', ...paths, '--out', out, '--stats', stats, '--json'])
  expect(code).toBe(0)
  return { directory, out, stats, summary: JSON.parse(stdout) }
}

describe('report --stats', () => {
  test('prints the map in the terminal by default', async () => {
    const { stats } = await fused()
    const { code, stdout, stderr } = await runCommand(['report', '--stats', stats])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(
      /^left & right: [\d.]+ % from Right, 7808 weights in 25 tensors that differ, 1 degenerate, 1 id/,
    )
    expect(stdout).toMatch(/^up_proj {9}[▁▂▃▄▅▆▇█]× +[\d.]+ %$/m)
    expect(stdout).toMatch(/^outside of layers: embedding [▁▂▃▄▅▆▇█] [\d.]+ %, norm = identical$/m)
  })

  test('--json prints one object whose numbers are those of the fusion', async () => {
    const { stats, summary } = await fused()
    const { code, stdout } = await runCommand(['report', '--stats', stats, '--json'])
    expect(code).toBe(0)
    const record = JSON.parse(stdout)
    expect(record.notDrawn).toEqual([])
    const [{ name, total, stacks, outside }] = record.steps
    expect([name, total.tensors, total.identical, total.degenerate]).toEqual(['left & right', summary.tensors, 1, 1])
    expect(total.elements).toBe(summary.parameters - 16)
    // The gate 'ge' counts the identical norm as Right's.
    expect(total.kept).toBe(summary.kept - 16)
    expect(total.fraction).toBe(total.kept / total.elements)
    expect(stacks.map(({ stack, layers }: { stack: string; layers: number[] }) => [stack, layers])).toEqual([
      ['model.layers', [0, 1]],
    ])
    const upProjection = stacks[0].rows.find(({ kind }: { kind: string }) => kind === 'up_proj')
    expect(upProjection.cells[1]).toMatchObject({ tensors: 1, elements: 768, kept: 768, fraction: 1, degenerate: 1 })
    expect(outside.at(-1)).toEqual({
      kind: 'norm',
      tensors: 1,
      elements: 0,
      kept: 0,
      fraction: null,
      degenerate: 0,
      identical: 1,
      nonFinite: 0,
    })
  })

  test('--out writes a picture or a page, the same bytes each time, and leaves nothing else', async () => {
    const { directory, stats } = await fused()
    const before = fileNames(directory)
    const svg = join(directory, 'map.svg')
    const html = join(directory, 'map.html')
    expect(await runCommand(['report', '--stats', stats, '--out', svg])).toMatchObject({
      code: 0,
      stdout: `The heat map is in ${svg}\n`,
    })
    const picture = readFileSync(svg, 'utf8')
    expect(elementsOf(parseXml(picture), 'title').map(textOf).join('\n')).toContain(hardlyTrained)
    expect((await runCommand(['report', '--stats', stats, '--out', html])).code).toBe(0)
    expect(readFileSync(html, 'utf8')).toContain(picture.trimEnd())
    expect((await runCommand(['report', '--stats', stats, '--out', svg, '--overwrite'])).code).toBe(0)
    expect(readFileSync(svg, 'utf8')).toBe(picture)
    expect(fileNames(directory)).toEqual([...before, 'map.html', 'map.svg'].sort())
  })
})

describe('report DIR', () => {
  test('shows of one fusion what its statistics file tells', async () => {
    const { out, stats } = await fused()
    const [fromDirectory, fromFile] = [
      await runCommand(['report', out]),
      await runCommand(['report', '--stats', stats]),
    ]
    expect([fromDirectory.code, fromDirectory.stderr]).toEqual([0, ''])
    expect(fromDirectory.stdout).toBe(fromFile.stdout)
  })

  test('shows every fusion of a sequence, and names the other merges', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeExperts(directory)
    const out = join(directory, 'out')
    const recipe = join(directory, 'recipe.yaml')
    writeFileSync(
      recipe,
      JSON.stringify({
        models: paths,
        steps: [
          { name: 'mid', expression: 'science & math' },
          { name: 'mean', expression: 'linear(coding, mid)' },
          { name: 'last', expression: 'fuse(mean, coding; lambda=3)' },
        ],
      }),
    )
    const stats = join(directory, 'stats.jsonl')
    expect(await runCommand(['merge', recipe, '--out', out, '--stats', stats])).toMatchObject({ code: 0 })
    const { code, stdout } = await runCommand(['report', out, '--json'])
    expect(code).toBe(0)
    expect(await runCommand(['report', '--stats', stats, '--json'])).toMatchObject({ code: 0, stdout })
    const { steps, notDrawn } = JSON.parse(stdout)
    expect(steps.map(({ name }: { name: string }) => name)).toEqual(['mid = science & math', 'last = mean & coding'])
    expect(notDrawn).toEqual(['Not drawn: mean (linear); only a fusion chooses between Left and Right'])
    const { merges, tensors } = JSON.parse(readFileSync(join(out, 'branchmerge.json'), 'utf8'))
    const last = Object.values(tensors as Record<string, { steps: { kept: number; identical?: boolean }[] }>)
    const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
    const kept = last.map(({ steps: [, , step] }) => (step?.identical ? 0 : (step?.kept ?? 0)))
    expect(merges[2].id).toBe('last')
    expect(steps[1].total.kept).toBe(sum(kept))
    expect(steps[1].total.kept).toBeGreaterThan(0)
  })

  test('tells of tensors that were kept whole for NaN', async () => {
    const directory = temporaryDirectory()
    const base = drawModel()
    const right = fineTune(base, { seed: 3 })
    const tensor = right.get(hardlyTrained) as NonNullable<ReturnType<typeof right.get>>
    right.set(hardlyTrained, { ...tensor, data: new Uint8Array(tensor.data.length).fill(0xff) })
    const paths = [
      writeCheckpoint(join(directory, 'left'), { tensors: fineTune(base, { seed: 2 }) }),
      writeCheckpoint(join(directory, 'right'), { tensors: right }),
    ]
    const [out, picture] = [join(directory, 'out'), join(directory, 'map.svg')]
    expect((await runCommand(['fuse', ...paths, '--out', out, '--non-finite', 'left'])).code).toBe(0)
    expect((await runCommand(['report', out])).stdout).toContain('1 kept whole for NaN or infinity')
    expect((await runCommand(['report', out, '--out', picture])).code).toBe(0)
    const titles = elementsOf(parseXml(readFileSync(picture, 'utf8')), 'title').map(textOf)
    expect(titles).toContain(
      `layer 1, up_proj\n${hardlyTrained} [48, 16]: kept whole from Left because of NaN or infinity`,
    )
  })

  test('refuses what no fusion made', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeExperts(directory)
    const [out, stats] = [join(directory, 'out'), join(directory, 'stats.jsonl')]
    const models = ['--model', `math=${paths.math}`, '--model', `coding=${paths.coding}`]
    const merge = ['merge', 'linear(math, coding)', ...models, '--out', out, '--stats', stats]
    expect(await runCommand(merge)).toMatchObject({ code: 0 })
    const { code, stderr } = await runCommand(['report', out])
    expect(code).toBe(1)
    expect(stderr).toContain('is a fusion, which chooses between Left and Right: linear(math, coding')
    expect(stderr).toContain('[ERR_STATS]')
    const ofStats = await runCommand(['report', '--stats', stats])
    expect(ofStats.code).toBe(1)
    expect(ofStats.stderr).toContain('is a fusion, which chooses between Left and Right: linear(math, coding')
  })

  test.each([
    ['another format', { format: 1 }, 'Expected a manifest of format 2'],
    ['no merges', { format: 2, tensors: {} }, 'Expected merges and tensors in'],
    [
      'a merge of nothing',
      { format: 2, merges: [{ id: 'a', method: 'fuse' }], tensors: {} },
      'Expected merges and tensors',
    ],
    ['a tensor without steps', manifest({ shape: [2] }), 'Expected shape and steps of w in'],
    ['more taken than there is', manifest({ shape: [2], steps: [{ kept: 3 }] }), 'Expected shape and steps of w in'],
    ['a shape that is none', manifest({ shape: [-1], steps: [{ kept: 0 }] }), 'Expected shape and steps of w in'],
  ])('refuses a manifest with %s', async (_, content, message) => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'branchmerge.json'), JSON.stringify(content))
    const { code, stderr } = await runCommand(['report', directory])
    expect(code).toBe(1)
    expect(stderr).toContain(message)
    expect(stderr).toContain('[ERR_MANIFEST]')
  })
})

function manifest(tensor: unknown) {
  return {
    format: 2,
    merges: [{ id: 'a & b', method: 'fuse', inputs: [{ model: 'a' }, { model: 'b' }] }],
    tensors: { w: tensor },
  }
}

test('the picture of the guide is what its commands make', async () => {
  const directory = temporaryDirectory()
  const [out, picture] = [join(directory, 'merged'), join(directory, 'heat-map.svg')]
  execFileSync(process.execPath, [fileURLToPath(new URL('../../examples/deepExperts.js', import.meta.url)), directory])
  const models = ['math', 'science', 'coding'].flatMap((name) => ['--model', `${name}=${join(directory, name)}`])
  expect(await runCommand(['merge', '(math & science) & coding', ...models, '--out', out])).toMatchObject({ code: 0 })
  expect(await runCommand(['report', out, '--out', picture])).toMatchObject({ code: 0 })
  const committed = readFileSync(new URL('../../docs/images/heat-map.svg', import.meta.url), 'utf8')
  expect(readFileSync(picture, 'utf8')).toBe(committed)
})

describe('what is refused', () => {
  test.each([
    [[], 'Expected a merged directory or --stats FILE, one of them'],
    [['DIR', '--stats', 'x'], 'Expected a merged directory or --stats FILE, one of them'],
    [['--stats', 'x', '--out', 'map.png'], 'Expected a name that ends in .svg or .html for out'],
    [['DIR', '--outt', 'x'], 'Unknown option --outt: did you mean --out?'],
  ])('%j', async (args, message) => {
    const { code, stderr } = await runCommand(['report', ...args], { cwd: temporaryDirectory() })
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  test('a file that is there, without --overwrite, and a directory in any case', async () => {
    const { directory, stats } = await fused()
    const out = join(directory, 'map.svg')
    writeFileSync(out, 'mine')
    const { code, stderr } = await runCommand(['report', '--stats', stats, '--out', out])
    expect([code, readFileSync(out, 'utf8')]).toEqual([1, 'mine'])
    expect(stderr).toContain('[ERR_OUTPUT_EXISTS]')
    rmSync(out)
    mkdirSync(out)
    const second = await runCommand(['report', '--stats', stats, '--out', out, '--overwrite'])
    expect(second.code).toBe(1)
    expect(second.stderr).toContain('[ERR_OUTPUT_EXISTS]')
  })

  test.each([
    ['no line', '', 'it is empty'],
    ['other text', 'tensor 0.5\n', ':1 but received tensor 0.5'],
    ['a line cut off', `${line()}\n${line().slice(0, 50)}`, ':2 but received'],
    ['more taken than there is', `${line({ kept: 11 })}\n`, ':1'],
    ['no divergence', `${line({ kl: null })}\n`, ':1'],
    ['a shape of other things', `${line({ shape: ['2'] })}\n`, ':1'],
    ['merges without a method', `${line({ merges: [{ id: 'a & b', kept: 1 }] })}\n`, ':1'],
    ['more taken by a merge than there is', `${line({ merges: [merged({ kept: 11 })] })}\n`, ':1'],
    [
      'other merges in a line',
      `${line({ merges: [merged()] })}\n${line({ merges: [merged({ id: 'b & a' })] })}\n`,
      ':2',
    ],
  ])('statistics with %s', async (_, text, message) => {
    const directory = temporaryDirectory()
    const [stats, out] = [join(directory, 'stats.jsonl'), join(directory, 'map.svg')]
    writeFileSync(stats, text)
    const { code, stderr, stdout } = await runCommand(['report', '--stats', stats, '--out', out, '--json'])
    expect(code).toBe(1)
    expect(stderr).toContain(message)
    expect(JSON.parse(stdout).error.code).toBe('ERR_STATS')
    expect(existsSync(out)).toBe(false)
  })

  test('files that are not there', async () => {
    const directory = temporaryDirectory()
    for (const args of [['--stats', join(directory, 'x')], [directory]]) {
      const { code, stderr } = await runCommand(['report', ...args])
      expect(code).toBe(1)
      expect(stderr).toContain('[ERR_FILE_READ]')
    }
  })
})

function line(fields: Record<string, unknown> = {}): string {
  const kl = { min: 0, median: 1, max: 2 }
  return JSON.stringify({ name: 'w', shape: [2, 5], dtype: 'F32', elements: 10, kept: 3, threshold: 1, kl, ...fields })
}

function merged(fields: Record<string, unknown> = {}) {
  return { id: 'a & b', method: 'fuse', inputs: [{ model: 'a' }, { model: 'b' }], kept: 3, ...fields }
}
