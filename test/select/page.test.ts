import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseRecipe } from '../../lib/recipe/readRecipe.js'
import { resolveSelection } from '../../lib/select/run/resolveSelection.js'
import { stepKinds } from '../../lib/select/run/stepKinds.js'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const page = read('docs/select.md')
const filters = read('docs/select-filters.md')

test('the recipes of docs/select.md are recipes', () => {
  const recipes = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
  expect(recipes.length).toBeGreaterThanOrEqual(3)
  for (const text of recipes) expect(resolveSelection(parseRecipe(text, 'docs.yaml')).sources).not.toEqual([])
})

test('every kind of step has its options in the schema, and its part of the page', () => {
  const { $defs } = JSON.parse(read('recipes/selection.schema.json'))
  const { name: _, ...kinds } = $defs.step.properties
  expect(Object.keys(kinds).sort()).toEqual([...stepKinds.keys()].sort())
  for (const kind of stepKinds.keys()) {
    expect($defs[kind]).toBeDefined()
    expect(page + filters).toMatch(new RegExp(`^###? ${kind}$`, 'm'))
  }
})
