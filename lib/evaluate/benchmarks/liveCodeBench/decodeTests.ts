import { promisify } from 'node:util'
import { inflate } from 'node:zlib'
import { isMapping } from '../../../validate.js'
import { PickleProblem, readPickledText } from './pickledText.js'

/** One test of a problem, as the data set has it. */
export interface RawTest {
  input: string
  output: string
}

/** Tests that are none. */
export class TestsProblem extends Error {
  override readonly name = 'TestsProblem'
}

/** The most that V8 has in one string, and far more than the tests of any problem. */
export const maxInflatedBytes = 2 ** 29 - 2 ** 16

const inflateAsync = promisify(inflate)

/**
 * The tests of a problem: JSON, or the same JSON as Base64 of zlib of a pickled text.
 *
 * @throws TestsProblem
 */
export async function decodeTests(field: string, limit = maxInflatedBytes): Promise<RawTest[]> {
  const text = /^\s*\[/.test(field.slice(0, 100)) ? field : await unpack(field, limit)
  const list = readJson(text)
  if (!Array.isArray(list)) throw new TestsProblem('expected a list of tests')
  return list.map((test, i) => {
    if (!isMapping(test) || typeof test['input'] !== 'string' || typeof test['output'] !== 'string') {
      throw new TestsProblem(`expected texts for input and output of test ${i + 1}`)
    }
    return { input: test['input'], output: test['output'] }
  })
}

async function unpack(field: string, limit: number): Promise<string> {
  const bytes = Buffer.from(field, 'base64')
  // Of the Base64 that Node takes, some is none: its length tells.
  if (Math.floor((field.trim().replace(/=+$/, '').length * 3) / 4) !== bytes.length) {
    throw new TestsProblem('expected JSON or Base64')
  }
  const pickle = await inflateAsync(bytes, { maxOutputLength: limit }).catch((cause) => {
    const isLarge = cause.code === 'ERR_BUFFER_TOO_LARGE'
    throw new TestsProblem(isLarge ? `they have more than ${limit} bytes` : `expected data of zlib: ${cause.message}`)
  })
  try {
    return readPickledText(pickle)
  } catch (error) {
    if (!(error instanceof PickleProblem)) throw error
    throw new TestsProblem(`expected a pickle of one text but it has ${error.message}`)
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TestsProblem(`expected JSON: ${(error as Error).message.slice(0, 100)}`)
  }
}
