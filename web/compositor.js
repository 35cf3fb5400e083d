// Composites a video whose left half holds the colours and whose right half holds their opacity.

const VERTEX = `
attribute vec2 corner;
varying vec2 place;
void main() {
  place = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// Compression noise must show neither in the clear part nor in the opaque one, so both ends of the range are clipped.
const FRAGMENT = `
precision mediump float;
uniform sampler2D halves;
varying vec2 place;
void main() {
  vec3 colour = texture2D(halves, vec2(place.x * 0.5, place.y)).rgb;
  float matte = texture2D(halves, vec2(place.x * 0.5 + 0.5, place.y)).g;
  float alpha = clamp((matte - 0.06) / 0.88, 0.0, 1.0);
  gl_FragColor = vec4(colour * alpha, alpha);
}`;

const CONTEXT = { alpha: true, premultipliedAlpha: true, antialias: false, depth: false, stencil: false };

/**
 * Draws a side-by-side video onto a transparent canvas, frame by frame.
 *
 * The canvas has exactly the picture's pixels, so each one is read at its own position and the halves never mix; the style
 * sheet fits it to the window, at any density.
 */
export class Compositor {
  #video;
  #canvas;
  #gl;

  /** Throws an Error where the browser has no WebGL. */
  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    this.#gl = canvas.getContext("webgl2", CONTEXT) ?? canvas.getContext("webgl", CONTEXT);
    if (!this.#gl) throw new Error("This browser has no WebGL, which a transparent picture needs.");
    this.#prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // requests that the context be restored
    canvas.addEventListener("webglcontextrestored", () => this.#prepare());
    this.#await();
  }

  #prepare() {
    const gl = this.#gl;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.bindAttribLocation(program, 0, "corner");
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }

  #await() {
    const next = () => {
      this.#draw();
      this.#await();
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(next);
    else requestAnimationFrame(next);
  }

  #draw() {
    const gl = this.#gl;
    const [width, height] = [this.#video.videoWidth >> 1, this.#video.videoHeight];
    if (!width || gl.isContextLost()) return;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, this.#video);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

function compile(gl, type, source) {
  const shader = gl.createShader(type);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  return shader;
}
