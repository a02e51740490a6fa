import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'

const directory = new URL('../../recipes/', import.meta.url)
const names = readdirSync(directory).filter((name) => name.endsWith('.schema.json'))

test.each(names)('%s is a schema of JSON Schema 2020-12', (name) => {
  const schema = JSON.parse(readFileSync(new URL(name, directory), 'utf8'))
  expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema')
  const ajv = new Ajv2020()
  expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true)
})

test('there are some', () => expect(names.length).toBeGreaterThan(5))
