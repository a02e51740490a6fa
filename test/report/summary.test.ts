import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resolveFuseCheckpointsOptions } from '../../lib/fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from '../../lib/fusion/fuseOptionTypes.js'
import { fusedTensor, fusionRequest, fusionSummary } from '../../lib/merge/fuseCheckpoints.js'
import { prepare } from '../../lib/merge/run/session.js'
import { fusionText, totalsByKind } from '../../lib/report/summary.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, qwen2Shapes, writeCheckpoint } from '../support/writeCheckpoint.js'

const embedding = 'model.embed_tokens.weight'
const norm = 'model.norm.weight'

/** Left stores its tied head; the last norm of Right is spoiled; Right has a file that Left lacks. */
async function report(options: Partial<FuseCheckpointsOptions> = {}) {
  const directory = temporaryDirectory()
  const base = drawModel()
  const left = fineTune(base, { seed: 2 })
  left.set('lm_head.weight', left.get(embedding) as never)
  const right = fineTune(base, { seed: 3 })
  right.set(norm, { dtype: 'BF16', shape: [16], data: new Uint8Array(32).fill(0xff) })
  const sides = [
    writeCheckpoint(join(directory, 'left'), { tensors: left }),
    writeCheckpoint(join(directory, 'right'), { tensors: right, files: { 'added_tokens.json': '{}' } }),
  ] as const
  const resolved = resolveFuseCheckpointsOptions({ out: join(directory, 'out'), nonFinite: 'left', ...options })
  const request = fusionRequest(...sides, resolved)
  const result = await (await prepare(request)).run()
  return { result, summary: fusionSummary(result.summary, request), tensors: result.tensors.map(fusedTensor) }
}

test('totals by kind add up to the summary', async () => {
  const { summary, tensors } = await report()
  const kinds = totalsByKind(tensors)
  const sum = (of: 'tensors' | 'parameters' | 'kept') => kinds.reduce((total, each) => total + each[of], 0)
  expect([sum('tensors'), sum('parameters'), sum('kept')]).toEqual([summary.tensors, summary.parameters, summary.kept])
  expect(kinds.map(({ kind, tensors: count }) => `${kind} ${count}`)).toEqual([
    'embedding 1',
    'q_proj 2',
    'k_proj 2',
    'v_proj 2',
    'o_proj 2',
    'attention bias 6',
    'gate_proj 2',
    'up_proj 2',
    'down_proj 2',
    'norm 5',
  ])
})

test('tensors come in the order of the output', async () => {
  const { tensors } = await report()
  expect(tensors.map(({ name }) => name)).toEqual(
    qwen2Shapes()
      .map(([name]) => name)
      .sort(),
  )
})

test('what a user should know is said', async () => {
  const text = fusionText((await report()).result, 'merged')
  expect(text).toContain(`Kept whole from Left because of NaN or infinity: 1 tensor: ${norm}`)
  expect(text).toContain(`Left: lm_head.weight is tied to ${embedding} and left out, as Hugging Face stores it`)
  expect(text).toContain('Not the same in Right: added_tokens.json (only in Right)')
  expect(text).toContain('The fused checkpoint is in merged\n')
})

test('long lists of names are cut', async () => {
  const { result } = await report()
  const degenerate = Array.from({ length: 13 }, (_, i) => `layer.${i}`)
  const merges = result.summary.merges.map((merge) => ({ ...merge, degenerate }))
  const text = fusionText({ ...result, summary: { ...result.summary, merges } }, 'merged')
  expect(text).toContain('13 tensors: layer.0, layer.1,')
  expect(text).toMatch(/layer\.9, and 3 more$/m)
})
