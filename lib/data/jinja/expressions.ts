import { filterOf } from './filters.js'
import { item, member } from './methods.js'
import { binary, negated } from './operators.js'
import type { Scope } from './scope.js'
import { type Arguments, type CompareOperator, type Expression, JinjaError } from './syntax.js'
import { testOf } from './tests.js'
import {
  type Call,
  Callable,
  contains,
  equal,
  Float,
  isTrue,
  items,
  key,
  order,
  slice,
  text,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

export type Evaluate = (scope: Scope) => Value

type Of<Kind extends Expression['kind']> = Extract<Expression, { kind: Kind }>

/** An expression as a function, so that no tree is walked while a template is rendered. */
export function compileExpression(expression: Expression): Evaluate {
  switch (expression.kind) {
    case 'constant': {
      const { value: given } = expression
      const value: Value = typeof given === 'object' && given !== null ? new Float(given.float) : given
      return () => value
    }
    case 'name': {
      const { name } = expression
      return (scope) => scope.get(name)
    }
    case 'list':
    case 'tuple':
      return compileItems(expression)
    case 'dict':
      return compileDict(expression)
    case 'attribute': {
      const [object, name] = [compileExpression(expression.object), expression.name]
      return (scope) => member(object(scope), name)
    }
    case 'item': {
      const [object, index] = [compileExpression(expression.object), compileExpression(expression.index)]
      return (scope) => item(object(scope), index(scope))
    }
    case 'slice':
      return compileSlice(expression)
    case 'call':
      return compileCall(expression)
    case 'filter':
      return compileFilter(expression.name, compileExpression(expression.input), expression.args)
    case 'test':
      return compileTest(expression)
    case 'concat': {
      const parts = expression.parts.map(compileExpression)
      return (scope) => parts.map((part) => text(part(scope))).join('')
    }
    case 'condition':
      return compileCondition(expression)
    default:
      return compileOperator(expression)
  }
}

function compileOperator(expression: Of<'not' | 'minus' | 'plus' | 'and' | 'or' | 'binary' | 'compare'>): Evaluate {
  switch (expression.kind) {
    case 'not': {
      const operand = compileExpression(expression.operand)
      return (scope) => !isTrue(operand(scope))
    }
    case 'minus':
    case 'plus': {
      const operand = compileExpression(expression.operand)
      return expression.kind === 'minus'
        ? (scope) => negated(operand(scope))
        : (scope) => negated(negated(operand(scope)))
    }
    case 'and':
    case 'or': {
      const [left, right] = [compileExpression(expression.left), compileExpression(expression.right)]
      const goesOn = expression.kind === 'and'
      return (scope) => {
        const value = left(scope)
        return isTrue(value) === goesOn ? right(scope) : value
      }
    }
    case 'binary': {
      const [left, right] = [compileExpression(expression.left), compileExpression(expression.right)]
      const { operator } = expression
      return (scope) => binary(operator, left(scope), right(scope))
    }
    case 'compare':
      return compileComparison(expression)
  }
}

function compileItems({ kind, items: parts }: Of<'list' | 'tuple'>): Evaluate {
  const compiled = parts.map(compileExpression)
  if (kind === 'list') return (scope) => compiled.map((part) => part(scope))
  return (scope) => tuple(compiled.map((part) => part(scope)))
}

function compileDict({ entries }: Of<'dict'>): Evaluate {
  const compiled = entries.map(([name, value]) => [compileExpression(name), compileExpression(value)] as const)
  return (scope) => new Map(compiled.map(([name, value]) => [key(name(scope)), value(scope)]))
}

function compileSlice({ object, start, stop, step }: Of<'slice'>): Evaluate {
  const none: Evaluate = () => null
  const sliced = compileExpression(object)
  const [from, to, by] = [start, stop, step].map((bound) => (bound ? compileExpression(bound) : none)) as [
    ...[Evaluate, Evaluate, Evaluate],
  ]
  return (scope) => slice(sliced(scope), from(scope), to(scope), by(scope))
}

function compileCondition({ test, yes, no }: Of<'condition'>): Evaluate {
  const [condition, chosen] = [compileExpression(test), compileExpression(yes)]
  const what = 'the inline if-expression evaluated to false and no else section was defined.'
  const otherwise: Evaluate = no ? compileExpression(no) : () => new Undefined(what)
  return (scope) => (isTrue(condition(scope)) ? chosen(scope) : otherwise(scope))
}

const comparisons: Record<CompareOperator, (a: Value, b: Value) => boolean> = {
  '==': equal,
  '!=': (a, b) => !equal(a, b),
  '<': (a, b) => order(a, b, '<') < 0,
  '<=': (a, b) => order(a, b, '<=') <= 0,
  '>': (a, b) => order(a, b, '>') > 0,
  '>=': (a, b) => order(a, b, '>=') >= 0,
  in: (a, b) => contains(b, a),
  'not in': (a, b) => !contains(b, a),
}

function compileComparison({ first, rest }: Of<'compare'>): Evaluate {
  const start = compileExpression(first)
  const steps = rest.map(([operator, operand]) => [comparisons[operator], compileExpression(operand)] as const)
  return (scope) => {
    let left = start(scope)
    for (const [holds, operand] of steps) {
      const right = operand(scope)
      if (!holds(left, right)) return false
      left = right
    }
    return true
  }
}

export function compileArguments({ positional, named, spread, spreadNamed }: Arguments): (scope: Scope) => Call {
  const list = positional.map(compileExpression)
  const byName = named.map(([name, value]) => [name, compileExpression(value)] as const)
  const [rest, restNamed] = [spread && compileExpression(spread), spreadNamed && compileExpression(spreadNamed)]
  return (scope) => {
    const call: Call = {
      args: list.map((argument) => argument(scope)),
      named: new Map(byName.map(([name, value]) => [name, value(scope)])),
    }
    if (rest) call.args.push(...items(rest(scope)))
    const more = restNamed?.(scope)
    if (more !== undefined && !(more instanceof Map)) throw new JinjaError('** needs a dict')
    for (const [name, value] of more ?? []) call.named.set(text(name), value)
    return call
  }
}

function compileCall({ callee, args }: Of<'call'>): Evaluate {
  const [target, bound] = [compileExpression(callee), compileArguments(args)]
  return (scope) => {
    const called = target(scope)
    if (called instanceof Callable) return called.call(bound(scope))
    if (called instanceof Undefined) called.fail()
    throw new JinjaError(`'${typeName(called)}' object is not callable`)
  }
}

export function compileFilter(name: string, input: Evaluate, args: Arguments): Evaluate {
  const bound = compileArguments(args)
  // A filter that is unknown fails where it is used: a template may ask for it in a branch that is never taken.
  return (scope) => filterOf(name)(input(scope), bound(scope))
}

function compileTest({ name, input, args }: Of<'test'>): Evaluate {
  const [tested, bound] = [compileExpression(input), compileArguments(args)]
  return (scope) => testOf(name)(tested(scope), bound(scope))
}
