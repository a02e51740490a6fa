import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { methods, methodNames as named } from '../../lib/recipe/methods.js'
import { methodNames } from './cases.js'

const page = (name: string) => readFileSync(new URL(`../../docs/methods/${name}.md`, import.meta.url), 'utf8')

test('every method of recipes but fuse has a reference and a page', () => {
  const others = named.filter((name) => name !== 'fuse')
  expect(methodNames.toSorted()).toEqual(others.toSorted())
  for (const name of methodNames) expect(page('README')).toContain(`[${name}](${name}.md)`)
})

test.each(methodNames)('the page of %s lists its parameters and their defaults', (name) => {
  // A row: | `name` (each) | range | default | meaning |
  const rows = [...page(name).matchAll(/^\| `(\w+)`( \(each\))? \| .*? \| (.*?) \|/gm)]
  const listed = rows.map(([, parameter, each, value]) => [parameter, each !== undefined, value])
  const expected = Object.entries(methods[name].parameters).map(([parameter, { perInput, ...rest }]) => [
    parameter,
    perInput === true && methods[name].inputs.most > 1,
    'default' in rest ? rest.default : 'required',
  ])
  const numbers = listed.map(([parameter, each, value]) => [
    parameter,
    each,
    typeof value === 'string' && !Number.isNaN(Number(value))
      ? Number(value)
      : value === 'true' || (value === 'false' ? false : value),
  ])
  expect(numbers.toSorted()).toEqual(expected.toSorted())
})
