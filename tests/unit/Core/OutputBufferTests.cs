using DoSandbox.Commands;

namespace DoSandbox.UnitTests.Core;

public sealed class OutputBufferTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(4097)]
    [InlineData(3_000_000)]
    [InlineData(150_000_000)]
    public void What_is_appended_is_taken(int size)
    {
        var data = new byte[size];
        new Random(size).NextBytes(data);
        using var buffer = new OutputBuffer();
        for (var turn = 0; turn < 2; turn++)
        {
            for (var (rest, step) = (data.AsMemory(), 1); !rest.IsEmpty; step = Math.Min(step * 2, 1_000_003))
            {
                var length = Math.Min(step, rest.Length);
                buffer.Append(rest.Span[..length]);
                rest = rest[length..];
            }

            Assert.Equal(size, buffer.Length);
            Assert.True(data.AsSpan().SequenceEqual(buffer.Take()));
            Assert.Equal(0, buffer.Length);
        }
    }

    [Fact]
    public void Output_without_a_bound_of_its_own_is_kept_up_to_256_megabytes() => Assert.Equal(256 * 1024 * 1024, CommandRunner.DefaultMaxOutput);
}
