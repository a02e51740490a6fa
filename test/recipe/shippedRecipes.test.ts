import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { presets } from '../../lib/fusion/presets.js'
import { methods } from '../../lib/recipe/methods.js'
import { parseRecipe, readRecipe } from '../../lib/recipe/readRecipe.js'
import type { RecipeNode } from '../../lib/recipe/resolvedRecipe.js'
import { resolveRecipe } from '../../lib/recipe/resolveRecipe.js'

const models = { math: '/models/math', science: '/models/science', coding: '/models/coding' }

/** A tree of fusions as an expression whose every pair has its parentheses. */
function shape(node: RecipeNode): string {
  return node.kind === 'model' ? node.name : `(${node.inputs.map(shape).join(' & ')})`
}

const shipped: [file: string, shape: string, tokenizer: string][] = [
  ['tinyr1-32b.yaml', '(coding & (science & math))', 'coding'],
  ['tinyr1-paper.yaml', '((math & science) & coding)', 'math'],
  ['tinyr1-ablation-math-coding.yaml', '((math & coding) & science)', 'math'],
  ['tinyr1-ablation-math-science.yaml', '((math & science) & coding)', 'math'],
]

test.each(shipped)('%s is %s', async (file, expected, tokenizer) => {
  const recipe = resolveRecipe(await readRecipe(`recipes/${file}`), { models })
  expect(shape(recipe.root)).toBe(expected)
  expect(recipe.merges.map(({ method }) => method)).toEqual(['fuse', 'fuse'])
  for (const { parameters } of recipe.merges) expect(parameters).toMatchObject({ preset: 'arcee', ...presets.arcee })
  expect(Object.fromEntries(recipe.models.map(({ name, path }) => [name, path]))).toEqual(models)
  expect(recipe).toMatchObject({ output: { tokenizer }, intermediate: 'storage', expect: { sameTokenizer: true } })
})

test('every shipped recipe is in the table above', () => {
  const isRecipe = (name: string) => readFileSync(`recipes/${name}`, 'utf8').includes('$schema=recipe.schema.json')
  const files = readdirSync('recipes').filter((name) => name.endsWith('.yaml') && isRecipe(name))
  expect(files.sort()).toEqual(shipped.map(([file]) => file).sort())
})

test.each(shipped)('%s needs the paths of its models', async (file) => {
  const document = await readRecipe(`recipes/${file}`)
  const refusal = () => resolveRecipe(document, { models: { math: '/models/math' } })
  expect(refusal).toThrow(/problems:\n {2}recipes\/.*:\d+:3: Expected the path of the model "science"/)
})

test('the example of docs/recipes.md is a recipe, and its refusal reads as shown there', () => {
  const page = readFileSync('docs/recipes.md', 'utf8')
  const [, example] = /```yaml\n(models:.*?)```/s.exec(page) as unknown as [string, string]
  const recipe = example.replace('"5f0c…"', `"${'0'.repeat(64)}"`)
  expect(shape(resolveRecipe(parseRecipe(recipe, 'recipe.yaml'), { models: { coding: 'c' } }).root)).toBe(
    '((math & science) & coding)',
  )
  const wrong = recipe.replace('& coding', '& codng').replace('lambda: 1.2', 'lambda: -1')
  const [, refusal] = /```\n(recipe\.yaml has 2 problems.*?)\n```/s.exec(page) as unknown as [string, string]
  expect(() => resolveRecipe(parseRecipe(wrong, 'recipe.yaml'), { models: { coding: 'c' } })).toThrow(refusal)
})

test('the table of methods in docs/recipes.md has every method and every option', () => {
  const page = readFileSync('docs/recipes.md', 'utf8')
  for (const [method, { parameters }] of Object.entries(methods)) {
    const row = page.split('\n').find((line) => line.startsWith('|') && line.split('|')[1]?.includes(`\`${method}\``))
    const names = method === 'della_linear' ? ['normalize'] : Object.keys(parameters)
    for (const name of names) expect(row, `${name} of ${method}`).toContain(`\`${name}\``)
  }
})
