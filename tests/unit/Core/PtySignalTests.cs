using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.UnitTests.Core;

public sealed class PtySignalTests
{
    [Theory]
    [InlineData("\"KILL\"", 9)]
    [InlineData("\"SIGTERM\"", 15)]
    [InlineData("\"sigint\"", 2)]
    [InlineData("\"11\"", 11)]
    [InlineData("13", 13)]
    [InlineData("64", 64)]
    [InlineData("0", null)]
    [InlineData("-9", null)]
    [InlineData("1e300", null)]
    [InlineData("65", null)]
    [InlineData("\"\"", null)]
    [InlineData("\"SIG\"", null)]
    [InlineData("\"NONE\"", null)]
    [InlineData("null", null)]
    public void A_signal_is_a_name_or_a_number(string json, int? number) =>
        Assert.Equal(number, PtySignal.Parse(JsonSerializer.Deserialize($$"""{"type":"exit","signal":{{json}}}""", ExecdJson.Default.PtyMessage)!.Signal));

    [Fact]
    public void Every_signal_is_told_so_that_it_is_understood()
    {
        for (var signal = 1; signal <= 64; signal++)
        {
            Assert.Equal(signal, PtySignal.Parse(PtySignal.NameOf(signal)));
        }

        Assert.Equal("KILL", PtySignal.NameOf(9));
        Assert.Equal("{\"type\":\"exit\",\"signal\":\"KILL\"}", JsonSerializer.Serialize(new PtyMessage { Type = "exit", Signal = "KILL" }, ExecdJson.Default.PtyMessage));
    }
}
