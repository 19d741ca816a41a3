/**
 * Vehicles on a WebGL 2 canvas of their own over the map. Each is one point with a shape per status; the vertex shader glides
 * it between its last two fixes, so a frame costs one draw call and no work per vehicle in script.
 */
import { scaleOf, type Camera } from '../core/camera'
import { STRIDE, type Fleet } from '../core/fleet'
import { rgb, type MapTheme } from './theme'

const VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec4 a_line;   // from x y, to x y
layout(location=1) in vec4 a_move;   // start, duration, heading from, to
layout(location=2) in vec4 a_look;   // speed, status, flags, -
uniform vec2 u_scale;                // mercator to clip space
uniform vec2 u_shift;
uniform float u_now;
uniform float u_size;
out float v_angle;
flat out int v_status;
flat out int v_flags;
flat out float v_px;
void main() {
  v_flags = int(a_look.z + 0.5);
  v_status = int(a_look.y + 0.5);
  if ((v_flags & 1) != 0) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); gl_PointSize = 1.0; return; }
  float k = clamp((u_now - a_move.x) / a_move.y, 0.0, 1.0);
  vec2 at = mix(a_line.xy, a_line.zw, k);
  gl_Position = vec4(at * u_scale + u_shift, 0.0, 1.0);
  v_px = (v_flags & 6) != 0 ? u_size * 1.75 : u_size;
  gl_PointSize = v_px;
  v_angle = radians(mix(a_move.z, a_move.w, k));
}`

const FRAGMENT = `#version 300 es
precision highp float;
in float v_angle;
flat in int v_status;
flat in int v_flags;
flat in float v_px;
uniform vec3 u_colors[4];
uniform vec3 u_halo;
uniform vec3 u_accent;
out vec4 color;
float box(vec2 p, float half_side, float round_by) {
  vec2 q = abs(p) - half_side + round_by;
  return length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - round_by;
}
float segment(vec2 p, vec2 a, vec2 b) {
  vec2 pa = p - a, ba = b - a;
  return length(pa - ba * clamp(dot(pa, ba) / dot(ba, ba), 0.0, 1.0));
}
float arrow(vec2 p) {
  p.x = abs(p.x);
  vec2 tip = vec2(0.0, -0.62), wing = vec2(0.44, 0.46), notch = vec2(0.0, 0.24);
  float edge = min(segment(p, tip, wing), segment(p, wing, notch));
  vec2 a = wing - tip, b = notch - wing;
  bool inside = a.x * (p.y - tip.y) - a.y * (p.x - tip.x) > 0.0 && b.x * (p.y - wing.y) - b.y * (p.x - wing.x) > 0.0;
  return inside ? -edge : edge;
}
void main() {
  // Only the chosen one has a ring, and with it a larger square: the fewer pixels, the more vehicles.
  float reach = (v_flags & 6) != 0 ? 1.0 : 0.78;
  vec2 p = (gl_PointCoord - 0.5) * 2.0 * reach;
  float px = 2.0 * reach / v_px;
  if (reach < 1.0 && dot(p, p) > 0.67) discard;
  float shape;
  float hole = 1.0;
  if (v_status == 0) {
    float c = cos(v_angle), s = sin(v_angle);
    shape = arrow(vec2(c * p.x + s * p.y, c * p.y - s * p.x)) - 0.04;
  } else if (v_status == 1) {
    shape = length(p) - 0.44;
    hole = length(p) - 0.18;
  } else if (v_status == 2) {
    shape = box(p, 0.38, 0.12);
  } else {
    shape = length(p) - 0.42;
    hole = min(length(p) - 0.27, 1.0);
  }
  float halo = smoothstep(px, -px, shape - 0.12);
  float shadow = 0.22 * smoothstep(0.3, 0.0, shape - 0.02);
  float body = smoothstep(px, -px, shape);
  float open_hole = smoothstep(px, -px, hole);
  vec3 rgb = mix(u_halo, u_colors[v_status], body * (1.0 - open_hole));
  float alpha = max(halo, shadow * (1.0 - halo));
  if (halo < 0.01) rgb = vec3(0.0);
  if ((v_flags & 6) != 0) {
    float ring = smoothstep(px, -px, abs(length(p) - 0.86) - 0.07);
    rgb = mix(rgb, u_accent, ring);
    alpha = max(alpha, ring);
  }
  color = vec4(rgb * alpha, alpha);
}`

/**
 * Side of the square in which a marker is drawn, in CSS pixels: larger close by, smaller where `inView` vehicles crowd
 * `area` square pixels.
 */
export function markerPx(zoom: number, inView: number, area: number): number {
  const byZoom = Math.max(14, Math.min(31, 14 + (zoom - 10) * 3.4))
  const room = 1.5 * Math.sqrt(area / Math.max(1, inView))
  return Math.max(12, Math.min(byZoom, room))
}

export class Markers {
  private readonly gl: WebGL2RenderingContext
  private readonly program: WebGLProgram
  private readonly uniforms: Record<string, WebGLUniformLocation | null> = {}
  private buffer: WebGLBuffer | null = null
  private bytes = 0
  private lost = false
  private linked = false
  private theme: MapTheme | null = null

  /** @throws Error when the browser has no WebGL 2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext('webgl2', { antialias: false, premultipliedAlpha: true, alpha: true, powerPreference: 'low-power' })
    if (!gl) throw new Error('no WebGL 2')
    this.gl = gl
    this.program = this.build()
    canvas.addEventListener('webglcontextlost', (event) => {
      event.preventDefault()
      this.lost = true
    })
    canvas.addEventListener('webglcontextrestored', () => location.reload())
  }

  setTheme(theme: MapTheme): void {
    this.theme = theme
    if (!this.linked) return
    this.gl.useProgram(this.program)
    this.gl.uniform3fv(this.uniforms['u_colors']!, theme.status.flatMap(rgb))
    this.gl.uniform3fv(this.uniforms['u_halo']!, rgb(theme.halo))
    this.gl.uniform3fv(this.uniforms['u_accent']!, rgb(theme.accent))
  }

  resize(width: number, height: number, ratio: number): void {
    this.canvas.width = Math.round(width * ratio)
    this.canvas.height = Math.round(height * ratio)
    this.gl.viewport(0, 0, this.canvas.width, this.canvas.height)
  }

  /** Draws the fleet as it is at `now`. */
  draw(fleet: Fleet, camera: Camera, now: number, ratio: number, px: number): void {
    if (this.lost || camera.width === 0) return
    const { gl } = this
    if (!this.linked) this.link()
    this.upload(fleet)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT)
    if (fleet.count === 0) return
    const scale = scaleOf(camera.zoom)
    const [sx, sy] = [(2 * scale) / camera.width, (-2 * scale) / camera.height]
    gl.useProgram(this.program)
    // The origin is folded in here, in double precision: float32 would place vehicles within two metres only.
    gl.uniform2f(this.uniforms['u_scale']!, sx, sy)
    gl.uniform2f(this.uniforms['u_shift']!, (fleet.originX - camera.x) * sx, (fleet.originY - camera.y) * sy)
    gl.uniform1f(this.uniforms['u_now']!, now - fleet.epochMs)
    gl.uniform1f(this.uniforms['u_size']!, px * ratio)
    gl.drawArrays(gl.POINTS, 0, fleet.count)
  }

  /** Asked before the first picture only: an earlier question would wait for the compiler. */
  private link(): void {
    const { gl, program } = this
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`shader: ${gl.getProgramInfoLog(program)}`)
    for (const name of ['u_scale', 'u_shift', 'u_now', 'u_size', 'u_colors', 'u_halo', 'u_accent']) {
      this.uniforms[name] = gl.getUniformLocation(program, name)
    }
    this.linked = true
    if (this.theme) this.setTheme(this.theme)
  }

  private uploaded: Fleet | null = null

  private upload(fleet: Fleet): void {
    const { gl } = this
    const dirty = fleet.takeDirty()
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer)
    if (fleet.gpu.byteLength > this.bytes || this.uploaded !== fleet) {
      this.bytes = fleet.gpu.byteLength
      this.uploaded = fleet
      gl.bufferData(gl.ARRAY_BUFFER, fleet.gpu, gl.DYNAMIC_DRAW)
    } else if (dirty === 'all' || (dirty !== null && dirty.size > 64)) {
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, fleet.gpu, 0, fleet.count * STRIDE)
    } else if (dirty !== null) {
      for (const at of dirty) gl.bufferSubData(gl.ARRAY_BUFFER, at * STRIDE * 4, fleet.gpu, at * STRIDE, STRIDE)
    }
  }

  private build(): WebGLProgram {
    const { gl } = this
    const program = gl.createProgram()
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind)!
      gl.shaderSource(shader, text)
      gl.compileShader(shader)
      gl.attachShader(program, shader)
    }
    gl.linkProgram(program)
    this.buffer = gl.createBuffer()
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer)
    for (let slot = 0; slot < 3; slot++) {
      gl.enableVertexAttribArray(slot)
      gl.vertexAttribPointer(slot, 4, gl.FLOAT, false, STRIDE * 4, slot * 16)
    }
    gl.enable(gl.BLEND)
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
    return program
  }
}
