import { expect, test } from 'vitest'
import { fencedBlocks, lastFencedLines } from '../../../lib/grading/programs/fencedBlocks.js'
import { growth, proportional } from '../../support/growth.js'

const blocksOf = (text: string) => fencedBlocks(text).map(({ language, code, closed }) => [language, code, closed])

const cases: [name: string, text: string, blocks: [language: string, code: string, closed: boolean][]][] = [
  ['none', 'no code here', []],
  ['one', 'Here:\n```python\nx = 1\n```\nDone.', [['python', 'x = 1', true]]],
  ['no language', '```\nx\n```', [['', 'x', true]]],
  [
    'the last first',
    '```py\na\n```\n```cpp\nb\n```',
    [
      ['cpp', 'b', true],
      ['py', 'a', true],
    ],
  ],
  ['CRLF', '```python\r\nx = 1\r\ny = 2\r\n```\r\n', [['python', 'x = 1\ny = 2', true]]],
  ['tildes', '~~~python\nx\n~~~', [['python', 'x', true]]],
  ['backticks in tildes', '~~~python\n"""\n```\n"""\n~~~', [['python', '"""\n```\n"""', true]]],
  [
    'a list item',
    '1. So:\n   ```python\n   def f():\n     return 1\n   ```',
    [['python', 'def f():\n  return 1', true]],
  ],
  ['a tab before it', '\t```python\n\tx\n\t```', [['python', 'x', true]]],
  ['less indented than its fence', '   ```python\n x\n```', [['python', 'x', true]]],
  ['not closed', '```python\nx = 1', [['python', 'x = 1', false]]],
  ['empty', '```python\n```', [['python', '', true]]],
  ['a longer fence', '````python\n```\n````', [['python', '```', true]]],
  ['a longer closing fence', '```python\nx\n`````', [['python', 'x', true]]],
  ['tags beside fences', '<answer>```python\nx\n```</answer>', [['python', 'x', true]]],
  ['tags around', '<answer>\n```python\nx\n```\n</answer>', [['python', 'x', true]]],
  ['code in a line', 'Use ```x``` then\n```python\nx\n```', [['python', 'x', true]]],
  ['words after the language', '```Python 3 title="a.py"\nx\n```', [['python', 'x', true]]],
  ['attributes', '```{.python .numberLines}\nx\n```', [['python', 'x', true]]],
  ['a file name', '```python:a.py\nx\n```', [['python', 'x', true]]],
  ['a version', '```python3.11\nx\n```', [['python3.11', 'x', true]]],
  [
    'not closed before the next',
    '```python\na\nBetter:\n```python\nb\n```',
    [
      ['python', 'b', true],
      ['python', 'a\nBetter:', false],
    ],
  ],
  [
    'in a Markdown block of the same length',
    '```markdown\n```python\nx\n```\n```',
    [
      ['', '', false],
      ['markdown', '```python\nx\n```', true],
      ['python', 'x', true],
      ['markdown', '', false],
    ],
  ],
  [
    'in a longer Markdown block',
    '````markdown\n```python\nx\n```\n````',
    [
      ['markdown', '```python\nx\n```', true],
      ['python', 'x', true],
    ],
  ],
  [
    'a fence in a docstring',
    '```python\n"""\n```python\nf()\n```\n"""\nf = 1\n```',
    [
      ['', '', false],
      ['python', '"""\n```python\nf()\n```\n"""\nf = 1', true],
      ['python', 'f()', true],
      ['python', '"""', false],
    ],
  ],
]

test.each(cases)('%s', (_, text, blocks) => {
  expect(blocksOf(text)).toEqual(blocks)
})

test.each([
  ['no fence', 'x', undefined],
  ['one fence', '```\nx', undefined],
  ['the last two of four', '```\na\n```\nb\n```\nc\n```', 'c'],
  ['the prose between the last two of three', '```python\nx\n```\nprose\n```', 'prose'],
  ['fences inside of lines', 'see ```\nx\nand ``` there', 'x'],
  ['a block of output after the code', '```python\nprint(1)\n```\nOutput:\n```\n1\n```', '1'],
])('the lines that LiveCodeBench takes: %s', (_, text, lines) => {
  expect(lastFencedLines(text)).toBe(lines)
})

test.each([
  ['opened only', (n: number) => '```python\nx = 1\n'.repeat(n)],
  ['nested', (n: number) => '```text\n'.repeat(n) + '```\n'.repeat(n)],
  ['backticks', (n: number) => `${'`'.repeat(n)}\n`.repeat(4)],
  ['white space', (n: number) => `${' '.repeat(n)}x\n`.repeat(4)],
])('the time grows with the text: %s', async (_, textOf) => {
  const factor = await growth((n) => {
    fencedBlocks(textOf(n))
    lastFencedLines(textOf(n))
  }, 2_000)
  expect(factor).toBeLessThan(proportional)
})
