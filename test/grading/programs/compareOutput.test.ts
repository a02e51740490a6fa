import { expect, test } from 'vitest'
import { compareOutput, compareOutputAsPaper } from '../../../lib/grading/programs/compareOutput.js'
import { growth, proportional } from '../../support/growth.js'

const strictCases: [name: string, expected: string, printed: string, equal: boolean][] = [
  ['the same', '1 2\n3', '1 2\n3', true],
  ['a line end', '3', '3\n', true],
  ['white space around', '\n 3 \n', '3\n\n\n', true],
  ['white space around lines', '1 2\n3', ' 1 2 \n3\t', true],
  ['CRLF', '1\n2', '1\r\n2\r\n', true],
  ['an empty line in the middle', '1\n2', '1\n\n2', false],
  ['a line more', '1', '1\n2', false],
  ['a line less', '1\n2', '1', false],
  ['nothing printed', '1', '', false],
  ['nothing expected', '', '\n', true],
  ['other words', 'Yes', 'YES', false],
  ['spaces between words', 'a b', 'a  b', false],
  ['spaces between numbers', '1 2', '1  2', true],
  ['1 and 1.0', '1', '1.0', true],
  ['0.5 and .50', '0.5', '.50', true],
  ['exponents', '1000', '1e3', true],
  ['a sign', '1', '+1', true],
  ['minus zero', '0', '-0.0', true],
  ['no tolerance', '0.1', '0.1000000000000000055511151231257827', false],
  ['a difference that floats do not show', '1000000000000000000', '1000000000000000001', false],
  ['a float text of a large whole number', '1000000000000000001', '1e18', false],
  ['long whole numbers', `${'9'.repeat(400)}`, `${'9'.repeat(400)}.000`, true],
  ['long whole numbers that differ', `${'9'.repeat(400)}`, `${'9'.repeat(399)}8`, false],
  ['infinities', 'inf', 'Infinity', true],
  ['NaN equals nothing else', 'nan', 'NaN', false],
  ['NaN as text', 'nan', 'nan', true],
  ['a number and a word', '1 x', '1.0 x', false],
  ['numbers at other places', '1 2', '12', false],
  ['an underscore between digits', '1000', '1_000', true],
  ['a huge exponent', '1', '1e99999999999999999', false],
  ['an exponent that no decimal has', '1', `1e${'9'.repeat(5000)}`, false],
  ['characters that only JavaScript trims', '1', '\ufeff1', false],
  ['a separator that Python trims', '1', '1\x1f', true],
]

test.each(strictCases)('strict: %s', (_, expected, printed, equal) => {
  expect(compareOutput(expected, printed).equal).toBe(equal)
})

test('it says by what lines are equal, and where they first differ', () => {
  expect(compareOutput('1\n2', '1\n2')).toEqual({ equal: true, rule: 'text' })
  expect(compareOutput('1\n2', '1\n2.0')).toEqual({ equal: true, rule: 'decimals' })
  expect(compareOutput('1\n2', '1\n3')).toEqual({ equal: false, difference: 'line 2 is "3" instead of "2"' })
  expect(compareOutput('1\n2', '')).toEqual({ equal: false, difference: 'nothing instead of 2 lines' })
  const long = compareOutput('1', 'x'.repeat(10_000))
  expect(long.equal === false && long.difference.length).toBeLessThan(120)
})

// What the checker of the paper's authors answers, by hand from its steps.
const paperCases: [name: string, expected: string, printed: string, equal: boolean][] = [
  ['the same', '1 2\n3', '1 2\n3\n', true],
  ['white space around lines', '1 2\n3', ' 1 2 \n3 ', true],
  ['empty lines in the output', '1\n2', '1\n\n2', true],
  ['empty lines in the expected output', '1\n\n2', '1\n2', true],
  ['both, and white space', '1\n\n2', ' 1\n\n2', true],
  ['close floats', '0.333333333', '0.333334', true],
  ['floats too far apart', '0.3333', '0.3334', false],
  ['close floats, one a line', '0.5\n1', '0.500001\n1.0', true],
  ['whole numbers are not close', '1000000', '1000001', false],
  ['a whole number and a float are', '1000000', '1000001.0', true],
  ['minus is no digit, so whole numbers may be close', '-1000000', '-1000001', true],
  ['several numbers in a line are no float', '0.5 1', '0.500001 1', false],
  ['other words', 'Yes', 'YES', false],
  ['words in another order: the sets are never compared', 'a b', 'b a', false],
  ['infinity', 'inf', 'Infinity', true],
  ['another number of lines', '0.5\n1', '0.5', false],
]

test.each(paperCases)('paper: %s', (_, expected, printed, equal) => {
  expect(compareOutputAsPaper(expected, printed).equal).toBe(equal)
})

test.each([
  ['blank lines', (n: number) => '\n'.repeat(n)],
  ['white space', (n: number) => `${' '.repeat(n)}1${' '.repeat(n)}1`],
  ['digits', (n: number) => '1'.repeat(n)],
  ['numbers', (n: number) => '1.50 '.repeat(n)],
  ['an almost number', (n: number) => `${'1_'.repeat(n)}x`],
])('the time grows with the output: %s', async (_, textOf) => {
  const factor = await growth((n) => {
    compareOutput(textOf(n), `${textOf(n)} 0`)
    compareOutputAsPaper(textOf(n), `${textOf(n)} 0`)
  }, 20_000)
  expect(factor).toBeLessThan(proportional)
})
