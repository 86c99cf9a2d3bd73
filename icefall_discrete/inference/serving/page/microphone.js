// Hands the microphone's samples on, some at a time: a tenth of a second is a message.
class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(Math.round(sampleRate / 10));
    this.length = 0;
  }

  process(inputs) {
    const channel = inputs[0][0];
    for (let start = 0; channel && start < channel.length; ) {
      const part = channel.subarray(start, start + this.samples.length - this.length);
      this.samples.set(part, this.length);
      this.length += part.length;
      start += part.length;
      if (this.length === this.samples.length) {
        this.port.postMessage(this.samples.slice());
        this.length = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
