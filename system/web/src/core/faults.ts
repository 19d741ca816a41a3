/** What `twin watch` can break, as its endpoint tells it; and what the page makes of it. Pure. */

export type FaultState = 'waiting' | 'active' | 'over'
export interface Fault {
  fault: number
  verb: string
  target: string
  /** When the scenario has it, after its start, and for how long; null: until somebody ends it. */
  at_s: number
  for_s: number | null
  state: FaultState
  left_s: number | null
  /** Why it can not be shown here; null if it can. */
  cannot: string | null
}

export type NodeState = 'up' | 'hung' | 'draining' | 'down'
export interface Breakable { node: string; state: NodeState; killed: boolean; hung: boolean }
export interface Stage { now_s: number; faults: Fault[]; nodes: Breakable[] }

export type Deed = 'kill' | 'start' | 'restart' | 'hang' | 'resume'

/** What can be done to a node now, in the order of the buttons. */
export function deedsOf(node: Breakable): Deed[] {
  return [node.killed ? 'start' : 'kill', ...(node.killed ? [] : (['restart'] as const)), node.hung ? 'resume' : 'hang']
}

/** Whole seconds that are left; null if nobody knows. */
export function secondsLeft(fault: Fault): number | null {
  return fault.state === 'active' && fault.left_s !== null ? Math.ceil(fault.left_s) : null
}

/** How many faults are under way, and how many nodes do not run as they should. */
export function trouble(stage: Stage): { active: number; ill: number } {
  return { active: stage.faults.filter((each) => each.state === 'active').length, ill: stage.nodes.filter((each) => each.state !== 'up').length }
}
