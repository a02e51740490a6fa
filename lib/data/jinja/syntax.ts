/** An expression or a statement cannot be read, or fails while it is computed. */
export class JinjaError extends Error {
  override readonly name = 'JinjaError'
}

export type Expression =
  | { kind: 'constant'; value: string | number | bigint | boolean | null | { float: number } }
  | { kind: 'name'; name: string }
  | { kind: 'list' | 'tuple'; items: Expression[] }
  | { kind: 'dict'; entries: [key: Expression, value: Expression][] }
  | { kind: 'attribute'; object: Expression; name: string }
  | { kind: 'item'; object: Expression; index: Expression }
  | { kind: 'slice'; object: Expression; start?: Expression; stop?: Expression; step?: Expression }
  | { kind: 'call'; callee: Expression; args: Arguments }
  | { kind: 'filter'; name: string; input: Expression; args: Arguments }
  | { kind: 'test'; name: string; input: Expression; args: Arguments }
  | { kind: 'not' | 'minus' | 'plus'; operand: Expression }
  | { kind: 'and' | 'or'; left: Expression; right: Expression }
  | { kind: 'binary'; operator: BinaryOperator; left: Expression; right: Expression }
  | { kind: 'concat'; parts: Expression[] }
  | { kind: 'compare'; first: Expression; rest: [operator: CompareOperator, operand: Expression][] }
  | { kind: 'condition'; test: Expression; yes: Expression; no: Expression | undefined }

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export interface Arguments {
  positional: Expression[]
  named: [name: string, value: Expression][]
  /** `*list` and `**dict`. */
  spread?: Expression
  spreadNamed?: Expression
}

/** What is assigned to: a name, an attribute of a namespace, or a tuple of such. */
export type Target =
  | { kind: 'name'; name: string }
  | { kind: 'member'; object: string; name: string }
  | { kind: 'tuple'; items: Target[] }

export interface Parameter {
  name: string
  initial: Expression | undefined
}

/** A filter without what it is applied to, as `{% filter %}` and `{% set x | … %}` have it. */
export interface FilterStep {
  name: string
  args: Arguments
}

export type Statement =
  | { kind: 'text'; text: string }
  | { kind: 'output'; value: Expression }
  | { kind: 'if'; branches: [test: Expression, body: Statement[]][]; otherwise: Statement[] }
  | {
      kind: 'for'
      target: Target
      iterable: Expression
      test: Expression | undefined
      recursive: boolean
      body: Statement[]
      otherwise: Statement[]
    }
  | { kind: 'set'; target: Target; value: Expression }
  | { kind: 'setBlock'; target: Target; filters: FilterStep[]; body: Statement[] }
  | { kind: 'with'; assignments: [Target, Expression][]; body: Statement[] }
  | { kind: 'macro'; name: string; parameters: Parameter[]; body: Statement[] }
  | { kind: 'callBlock'; call: Expression & { kind: 'call' }; parameters: Parameter[]; body: Statement[] }
  | { kind: 'filterBlock'; filters: FilterStep[]; body: Statement[] }
  | { kind: 'generation'; body: Statement[] }
  | { kind: 'break' | 'continue' }
