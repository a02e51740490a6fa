import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { BranchMergeError, fromNative } from '../lib/errors.js'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

test('every code is explained in docs/errors.md, and nothing else is', () => {
  const codes = [...read('../lib/errors.ts').matchAll(/^ {2}\| '(ERR_\w+)'$/gm)].map(([, code]) => code)
  const headings = [...read('../docs/errors.md').matchAll(/^### (ERR_\w+)$/gm)].map(([, code]) => code)
  expect(codes.length).toBeGreaterThan(30)
  expect(headings.toSorted()).toEqual(codes.toSorted())
})

test('errors of the addon keep code, message and cause; others pass as they are', () => {
  const cause = Object.assign(new Error('w'), { code: 'ERR_TENSOR_SIZE' })
  expect(fromNative(cause)).toBeInstanceOf(BranchMergeError)
  expect(fromNative(cause)).toMatchObject({ code: 'ERR_TENSOR_SIZE', message: 'w', cause })
  const other = new TypeError('x')
  expect(fromNative(other)).toBe(other)
  expect(fromNative('text')).toBe('text')
})
